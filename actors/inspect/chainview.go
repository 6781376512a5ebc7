package inspect

// ChainView is what a host has to do with its chain.
type ChainView struct {
	URL      string   `json:"url,omitempty"` // where others reach it
	Chain    Chain    `json:"chain"`
	Reporter Reporter `json:"reporter"`
	Follower Follower `json:"follower"`
}
