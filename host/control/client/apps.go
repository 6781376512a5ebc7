package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/url"
	"strconv"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

// Deploy asks for an app. manifest is encoded; config may be nil. The blobs of the manifest must be there.
func (c *Client) Deploy(ctx context.Context, req api.Deploy, manifest, config []byte) (app inspect.App, err error) {
	err = c.sendApp(ctx, api.RouteDeploy, req, manifest, config, &app)
	return app, err
}

// Announce has the code of an app prepared that may be deployed soon.
func (c *Client) Announce(ctx context.Context, req api.Deploy, manifest, config []byte) error {
	return c.sendApp(ctx, api.RouteAnnounce, req, manifest, config, nil)
}

// deployTime is what a host gives itself to read the code of an app.
const deployTime = time.Minute

func (c *Client) sendApp(ctx context.Context, route string, req api.Deploy, manifest, config []byte, v any) error {
	text, err := json.Marshal(req)
	if err != nil {
		return fault.New(fault.BugUnexpected, "encode request", "", err)
	}
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for _, p := range []struct {
		name  string
		bytes []byte
	}{{api.PartRequest, text}, {api.PartManifest, manifest}, {api.PartConfig, config}} {
		if p.bytes == nil {
			continue
		}
		part, err := form.CreateFormField(p.name)
		if err == nil {
			_, err = part.Write(p.bytes)
		}
		if err != nil {
			return fault.New(fault.BugUnexpected, "encode request", p.name, err)
		}
	}
	if err := form.Close(); err != nil {
		return fault.New(fault.BugUnexpected, "encode request", "", err)
	}
	return c.within(ctx, c.timeout+formTime+deployTime, func(ctx context.Context) error {
		return c.exchange(ctx, route, "", nil, form.FormDataContentType(), &b, v)
	})
}

// Apps returns the apps of a tenant, or of all without one, in the order of their deployment.
func (c *Client) Apps(ctx context.Context, tenant string) ([]inspect.App, error) {
	all := []inspect.App{}
	for after := uint64(0); ; {
		var page api.AppList
		q := url.Values{"tenant": {tenant}, "after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(api.MaxAppPage)}}
		if err := c.call(ctx, api.RouteApps, "", q, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Apps...)
		if page.Next <= after { // 0, or a server that would lead us in circles
			return all, nil
		}
		after = page.Next
	}
}

// App returns one app.
func (c *Client) App(ctx context.Context, address string) (app inspect.App, err error) {
	err = c.call(ctx, api.RouteApp, address, nil, &app)
	return app, err
}

// StartApp has a stopped app run again.
func (c *Client) StartApp(ctx context.Context, address string) (app inspect.App, err error) {
	err = c.call(ctx, api.RouteStartApp, address, nil, &app)
	return app, err
}

// StopApp ends the instances of an app, which stays deployed.
func (c *Client) StopApp(ctx context.Context, address string) (app inspect.App, err error) {
	err = c.call(ctx, api.RouteStopApp, address, nil, &app)
	return app, err
}

// ResizeApp changes how many instances an app has.
func (c *Client) ResizeApp(ctx context.Context, address string, instances uint32) (app inspect.App, err error) {
	err = c.call(ctx, api.RouteResizeApp, address, url.Values{"instances": {strconv.FormatUint(uint64(instances), 10)}}, &app)
	return app, err
}

// RaiseApp lifts the priority at which the code of an app is prepared.
func (c *Client) RaiseApp(ctx context.Context, address, priority string) (app inspect.App, err error) {
	err = c.call(ctx, api.RouteRaiseApp, address, url.Values{"priority": {priority}}, &app)
	return app, err
}

// RemoveApp ends an app and its session, and returns its last totals.
func (c *Client) RemoveApp(ctx context.Context, address string) (m inspect.AppMetrics, err error) {
	err = c.call(ctx, api.RouteRemoveApp, address, nil, &m)
	return m, err
}

// RemoveAllApps ends all apps and returns how many there were. It takes as long as it takes: there may be thousands.
func (c *Client) RemoveAllApps(ctx context.Context) (int, error) {
	var r api.AppsRemoved
	err := c.exchange(ctx, api.RouteRemoveAll, "", nil, "", nil, &r)
	return r.Removed, err
}

// Query is a query to an app.
type Query struct {
	Address   string
	Path      string
	Payload   []byte
	Signature []byte // of its sender; nil: it has no name
	Priority  string // default high
}

// Query asks an app and waits for its reply, for as long as its manifest allows.
func (c *Client) Query(ctx context.Context, q Query) (reply api.AppReply, err error) {
	values := url.Values{}
	if q.Path != "" {
		values.Set("path", q.Path)
	}
	if q.Priority != "" {
		values.Set("priority", q.Priority)
	}
	headers := map[string]string{}
	if q.Signature != nil {
		headers[api.HeaderSignature] = base64.StdEncoding.EncodeToString(q.Signature)
	}
	resp, err := c.doWith(ctx, api.RouteQueryApp, q.Address, values, api.TypeBytes, bytes.NewReader(q.Payload), headers)
	if err != nil {
		return reply, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, api.MaxReplyBytes)).Decode(&reply); err != nil {
		return reply, lost(ctx, err)
	}
	return reply, nil
}

// SealedQuery sends a query that only the worker can read, and returns the sealed reply. public is the key of the sender in hex.
func (c *Client) SealedQuery(ctx context.Context, public string, sealed []byte) ([]byte, error) {
	resp, err := c.do(ctx, api.RouteSealedQuery, public, nil, api.TypeBytes, bytes.NewReader(sealed))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, api.MaxReplyBytes))
	if err != nil {
		return nil, lost(ctx, err)
	}
	return b, nil
}

// AppLog returns what an app said after a line, or the newest lines if after is 0; at most so many, and never more than
// api.MaxLogLines. If there is none it waits for one, at most api.MaxWait.
func (c *Client) AppLog(ctx context.Context, address string, after uint64, most int, wait time.Duration) (l api.AppLog, err error) {
	q := url.Values{"after": {strconv.FormatUint(after, 10)}, "max": {strconv.Itoa(most)}, "wait_us": {strconv.FormatInt(wait.Microseconds(), 10)}}
	err = c.within(ctx, wait+c.timeout, func(ctx context.Context) error {
		return c.exchange(ctx, api.RouteAppLog, address, q, "", nil, &l)
	})
	return l, err
}

// PutBlob stores what r has under a hash, or under its SHA-256 without one. It takes as long as r does.
func (c *Client) PutBlob(ctx context.Context, hash string, r io.Reader) (b inspect.Blob, err error) {
	route := api.RoutePutBlob
	if hash == "" {
		route = api.RouteAddBlob
	}
	from := &source{Reader: r, name: "the blob"}
	if err := c.exchange(ctx, route, hash, nil, api.TypeBytes, io.NopCloser(from), &b); err != nil {
		return b, cmp.Or(from.fault(), err)
	}
	return b, nil
}

// GetBlob writes a blob to w. What it wrote is worth nothing if it fails.
func (c *Client) GetBlob(ctx context.Context, hash string, w io.Writer) (int64, error) {
	resp, err := c.do(ctx, api.RouteGetBlob, hash, nil, "", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	to := &target{Writer: w}
	n, err := io.Copy(to, resp.Body)
	if err != nil && to.err == nil {
		err = lost(ctx, err)
	}
	return n, err
}

// target remembers that it was it that failed.
type target struct {
	io.Writer
	err error
}

func (t *target) Write(p []byte) (int, error) {
	n, err := t.Writer.Write(p)
	t.err = err
	return n, err
}

// Blobs returns what the blob store has.
func (c *Client) Blobs(ctx context.Context) (l api.BlobList, err error) {
	err = c.call(ctx, api.RouteBlobs, "", nil, &l)
	return l, err
}

// RemoveBlob drops a blob that no app needs.
func (c *Client) RemoveBlob(ctx context.Context, hash string) (d api.Done, err error) {
	err = c.call(ctx, api.RouteRemoveBlob, hash, nil, &d)
	return d, err
}

// Session returns the worker session.
func (c *Client) Session(ctx context.Context) (s inspect.Session, err error) {
	err = c.call(ctx, api.RouteSession, "", nil, &s)
	return s, err
}

// OpenSession opens a worker session, and returns what tells the chain of it.
func (c *Client) OpenSession(ctx context.Context, req api.OpenSession) (o api.Opened, err error) {
	err = c.post(ctx, api.RouteOpenSession, req, &o)
	return o, err
}

// SetBench says which app is the benchmark.
func (c *Client) SetBench(ctx context.Context, address string, instances uint32) (s inspect.Session, err error) {
	err = c.post(ctx, api.RouteSetBench, api.SetBench{Address: address, Instances: instances}, &s)
	return s, err
}

// AppMetrics returns the totals of apps, of all of them without addresses.
func (c *Client) AppMetrics(ctx context.Context, addresses ...string) ([]inspect.AppMetrics, error) {
	var l api.AppMetricsList
	err := c.call(ctx, api.RouteAppMetrics, "", url.Values{"address": addresses}, &l)
	return l.Apps, err
}

// Report has the totals of apps signed, of all of them without addresses.
func (c *Client) Report(ctx context.Context, addresses ...string) ([]api.SignedReport, error) {
	var r api.Reports
	err := c.post(ctx, api.RouteReport, api.Report{Addresses: addresses}, &r)
	return r.Reports, err
}

// BackupKey returns the worker key and the root of all secrets of apps, locked with a passphrase.
func (c *Client) BackupKey(ctx context.Context, passphrase []byte) ([]byte, error) {
	var k api.Key
	err := c.post(ctx, api.RouteBackupKey, api.Key{Passphrase: passphrase}, &k)
	return k.Backup, err
}

// RestoreKey puts a backup in the place of the worker key.
func (c *Client) RestoreKey(ctx context.Context, backup, passphrase []byte) (s inspect.Session, err error) {
	err = c.post(ctx, api.RouteRestoreKey, api.Key{Backup: backup, Passphrase: passphrase}, &s)
	return s, err
}

// RotateKey makes a new worker key.
func (c *Client) RotateKey(ctx context.Context) (s inspect.Session, err error) {
	err = c.call(ctx, api.RouteRotateKey, "", nil, &s)
	return s, err
}

// LockKey locks the worker key with a passphrase, or keeps it in clear without one.
func (c *Client) LockKey(ctx context.Context, passphrase []byte) (d api.Done, err error) {
	err = c.post(ctx, api.RouteLockKey, api.Key{Passphrase: passphrase}, &d)
	return d, err
}

// SignEndpoints signs where the worker is reached.
func (c *Client) SignEndpoints(ctx context.Context, endpoints []string) (s api.Signed, err error) {
	err = c.post(ctx, api.RouteSignEndpoints, api.Endpoints{Endpoints: endpoints}, &s)
	return s, err
}

// SignDescription signs what the worker says of itself.
func (c *Client) SignDescription(ctx context.Context, d api.Description) (s api.Signed, err error) {
	err = c.post(ctx, api.RouteSignDescription, d, &s)
	return s, err
}

// SignRegistration signs what registers the worker on a chain.
func (c *Client) SignRegistration(ctx context.Context, r api.Registration) (s api.Signed, err error) {
	err = c.post(ctx, api.RouteSignRegistration, r, &s)
	return s, err
}

// post carries out a route whose body is JSON.
func (c *Client) post(ctx context.Context, route string, req, v any) error {
	text, err := json.Marshal(req)
	if err != nil {
		return fault.New(fault.BugUnexpected, "encode request", "", err)
	}
	return c.within(ctx, c.timeout, func(ctx context.Context) error {
		return c.exchange(ctx, route, "", nil, api.TypeJSON, bytes.NewReader(text), v)
	})
}
