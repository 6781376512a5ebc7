// Package plans sells compute: the pallet Marketplace, with plans, images, subscriptions and their hourly charge.
//
// Purpose: an account that buys a plan gets a request of package requests. While it runs, or is kept stopped, it costs the plan's price
// for each block, charged each hour, and for the rest of an hour when it ends.
//
// Lifecycle: a subscription begins with a purchase and ends with its request. Credits that do not suffice stop what runs, and end it
// when the grace is over; credits that are back before boot it again. Genesis: {"plans": [the arguments of add_new_plan], "images":
// [those of set_os_disk_image_url], "compute_grace_period": blocks}.
//
// Concurrency: one goroutine per Context. End looks at the charges that are due in its block.
//
// Failure: errors of the pallet; Credits and Compute say theirs.
//
// Limits: MaxSubscriptions of an account, maxCharges in a block: what is more is charged in the next one, and not more for it.
package plans
