package client

// Origin names the face that the client belongs to, for the audit log: cli, top, web.
func (c *Client) Origin(name string) *Client {
	c.origin = name
	return c
}

// WhenVersionsDiffer calls f once with the version of the server, if that is another one than own. What they have in common works.
func (c *Client) WhenVersionsDiffer(own string, f func(server string)) *Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.differs = func(server string) {
		if server != own {
			f(server)
		}
	}
	return c
}

// saw remembers the version that a reply named.
func (c *Client) saw(version string) {
	c.mu.Lock()
	c.version = version
	f := c.differs
	if version != "" {
		c.differs = nil
	}
	c.mu.Unlock()
	if f != nil && version != "" {
		f(version)
	}
}
