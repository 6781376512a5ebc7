// Package market is the pallet Wapod: workers offer themselves, owners pay tickets for apps, and signed metrics move the money.
//
// Purpose: lists join workers of one price, each with its consent. A ticket holds a deposit for one app on the workers of a list.
// A worker's report settles the tickets that it claims. Benchmark apps and their scores tell how fast a worker is.
//
// How use is charged. What is settled is remembered by worker and app: the metrics of the last settlement are where the next one
// begins, so that each unit is charged once, however many tickets name the app. What is between the two is split evenly among the
// claimed tickets that have money, at the prices of each; what cannot be split falls to the oldest. If none has money, all of them owe
// their shares. A ticket pays what it has: the rest is a debt, which is paid first when there is money again, up to the end of the
// ticket. Nobody pays for what was used before the ticket came, or before the worker joined its list: if that was after the last
// settlement, or after the beginning of the app session as far as its running time shows, the first report is a baseline. A report
// that no ticket is claimed for moves nothing while a ticket that paid before is there. Metrics that fall within a session charge
// nothing until they are back where they were.
//
// How workers join. The owner of a list invites; the worker consents, by a transaction of its own account or by a signature that
// somebody else brings. An invitation has a number, which serves once. A worker that is removed is paid for reports of one closing
// window more.
//
// How tickets end. To close one opens a window in which reports are still paid. At its end debts are paid, the owner gets the rest,
// and the ticket is gone.
//
// Lifecycle: the genesis sets the closing window. End carries out what is due at the block's height.
//
// Concurrency: that of the ledger, one goroutine per Context.
//
// Failure: errors of the pallet by name. A claim that is wrong is ignored, with an event that says why; it never takes the others
// with it. Nothing that a message holds makes a call panic.
//
// Limits: 64 apps in a report, 3 tickets per app, 32 workers in a call, 64 lists per worker, 64 benchmark apps, 256 ends of windows in
// a block; what comes above that waits for the next. Of apps that no ticket pays for, the last 256 per worker are remembered.
package market
