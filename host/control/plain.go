package control

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/control/api"
)

// bare asks the host itself, for what belongs to nobody.
func (s *Server) bare(ctx context.Context) (inspect.Host, error) {
	return s.host.(gate).Host.Overview(ctx)
}

func (s *Server) live(r *http.Request, _ caller) (any, error) {
	if _, err := s.bare(r.Context()); err != nil {
		return nil, err
	}
	return api.Done{State: "live", At: now()}, nil
}

func (s *Server) ready(r *http.Request, _ caller) (any, error) {
	h, err := s.bare(r.Context())
	if err != nil {
		return nil, err
	}
	if !h.Ready || h.Draining {
		return nil, fault.New(fault.BusyDraining, "ready", "", nil).WithHint("it is starting or stopping").WithRetryAfter(time.Second)
	}
	return api.Done{State: "ready", At: now()}, nil
}

func (s *Server) status(r *http.Request, _ caller) (any, error) {
	return s.host.Inspect(r.Context())
}

func (s *Server) list(r *http.Request, _ caller) (any, error) {
	q := r.URL.Query()
	limit, err := limitOf(q.Get("limit"))
	if err != nil {
		return nil, err
	}
	if q.Has("q") || q.Has("sort") {
		f, err := findOf(r, "artifacts")
		if err != nil {
			return nil, err
		}
		p, err := s.views.cache.cut(r.Context(), f)
		return api.ArtifactList{Artifacts: p.Rows, Next: p.Next}, err
	}
	h, err := s.host.Overview(r.Context())
	if err != nil {
		return nil, err
	}
	prefix, after := q.Get("prefix"), q.Get("after")
	all := []inspect.Artifact{}
	for _, a := range h.Artifacts {
		if strings.HasPrefix(a.Key, prefix) && a.Key > after {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b inspect.Artifact) int { return strings.Compare(a.Key, b.Key) })
	page := api.ArtifactList{Artifacts: all}
	if len(all) > limit {
		page.Artifacts, page.Next = all[:limit], all[limit-1].Key
	}
	return page, nil
}

// limitOf reads the size of a page.
func limitOf(text string) (int, error) {
	if text == "" {
		return api.DefaultPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > api.MaxPage {
		return 0, invalid("limit "+fault.Quote(text), "limit must be between 1 and "+strconv.Itoa(api.MaxPage))
	}
	return n, nil
}

func (s *Server) show(r *http.Request, _ caller) (any, error) {
	key, err := keyOf(r)
	if err != nil {
		return nil, err
	}
	a, m, err := s.host.Artifact(r.Context(), key)
	if err != nil {
		return nil, err
	}
	return api.Artifact{Artifact: a, Module: m}, nil
}

func (s *Server) prune(r *http.Request, _ caller) (any, error) {
	rep, err := s.host.Prune(r.Context())
	if err != nil {
		return nil, err
	}
	return api.Pruned(rep), nil
}

// change is a call on one artifact on behalf of the caller's tenant.
func (s *Server) change(state string, f func(ctx context.Context, tenant, key string) error) func(*http.Request, caller) (any, error) {
	return func(r *http.Request, c caller) (any, error) {
		key, err := keyOf(r)
		if err != nil {
			return nil, err
		}
		if err := f(r.Context(), c.Tenant(), key); err != nil {
			return nil, err
		}
		s.opts.Log.Info().Str("artifact", key).Str("tenant", c.Tenant()).Msg(state)
		return api.Done{Key: key, State: state, At: now()}, nil
	}
}

// keyOf returns the artifact key in the path, in its canonical spelling.
func keyOf(r *http.Request) (string, error) {
	k, err := artifacts.ParseKey(r.PathValue("key"))
	if err != nil {
		return "", err
	}
	return k.String(), nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
