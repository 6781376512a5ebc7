package handler

import "github.com/troupehost/troupe/host/guest"

// What to do with requests; see package guest.
var (
	Query func(*guest.Query) ([]byte, error)
	HTTP  func(*guest.Response, *guest.Request)
)
