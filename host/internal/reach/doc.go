// Package reach says which addresses are of the public network.
//
// Purpose: whoever is told by others where to connect, a guest or a gateway that redirects, must not be led to this machine or its
// networks. [Special] names the range that an address is of if it is not public, [Carried] the address of version 4 in one of version 6
// that something on the way sends on to, [Public] puts both together.
//
// Lifecycle: none, these are functions.
//
// Concurrency: they may be called from any goroutine.
//
// Failure: an address that is none, or has a zone, is not public.
//
// Limits: the list is that of the registries of IANA. An operator whose network has other addresses keeps hosts from them by other means.
package reach
