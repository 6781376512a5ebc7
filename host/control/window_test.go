package control

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

// TestStampsKnowAllOfAnActor changes each field of an actor: its stamp is another one then, or the field is the moment of the look.
func TestStampsKnowAllOfAnActor(t *testing.T) {
	a := inspect.Actor{Path: "troupe/a", Lanes: []inspect.Lane{{Name: "work"}}, Rates: &inspect.Rates{}, Dropped: map[string]uint64{"busy.queue_full": 1}}
	was, same := stampOf(&a), []string{}
	var change func(name string, v reflect.Value)
	change = func(name string, v reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		switch x := v.Addr().Interface().(type) {
		case *time.Time:
			*x = time.Unix(1, 1)
		case *map[string]uint64:
			*x = map[string]uint64{"busy.queue_full": 2}
		case *[]inspect.Lane:
			change(name+"[0]", reflect.ValueOf(&(*x)[0]).Elem())
			*x = append(*x, inspect.Lane{Name: "control"})
		default:
			switch v.Kind() {
			case reflect.Struct:
				for i := range v.NumField() {
					change(name+"."+v.Type().Field(i).Name, v.Field(i))
				}
				return
			case reflect.Pointer:
				change(name, v.Elem())
				v.SetZero()
			case reflect.String:
				v.SetString("x" + v.String())
			case reflect.Bool:
				v.SetBool(true)
			case reflect.Int, reflect.Int64:
				v.SetInt(7)
			case reflect.Uint64:
				v.SetUint(7)
			case reflect.Float64:
				v.SetFloat(7)
			default:
				t.Fatalf("%s is a %s, which this test does not know", name, v.Kind())
			}
		}
		if stampOf(&a) == was {
			same = append(same, name)
		}
		v.Set(old)
	}
	change("Actor", reflect.ValueOf(&a).Elem())
	if diff := cmp.Diff([]string{"Actor.At"}, same); diff != "" || stampOf(&a) != was {
		t.Errorf("changes that a stamp does not tell:\n%s", diff)
	}
}

// TestWhoWatchesTheSameSharesTheWork: rows are encoded once when they have changed, and frames are the same bytes for all who watch.
func TestWhoWatchesTheSameSharesTheWork(t *testing.T) {
	h := newWorld()
	h.actors = nil
	for i := range 100 {
		h.actors = append(h.actors, inspect.Actor{Path: fmt.Sprintf("troupe/%03d", i), Kind: "x", State: "idle", Lanes: []inspect.Lane{{Name: "work"}}})
	}
	s := New(h, Options{})
	defer s.Close()
	f := find{sort: "path", limit: 50}
	f.query.View = "actors"
	one, two := s.views.actors.open(t.Context(), f), s.views.actors.open(t.Context(), f)
	defer one.close()
	if one != two {
		t.Fatal("two who watch the same do not share it")
	}
	look := func(p *pane) *window {
		t.Helper()
		w, err := p.look(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	frame := func(w, before *window) (f api.Frame, at *byte) {
		t.Helper()
		text, err := w.since(before)
		if err == nil {
			err = json.Unmarshal(text, &f)
		}
		if err != nil {
			t.Fatal(err)
		}
		return f, &text[0]
	}
	first := look(one)
	whole, at := frame(first, nil)
	if _, again := frame(look(two), nil); len(whole.Rows) != 50 || len(whole.Order) != 50 || !whole.Full || whole.Total != 100 || at != again || one.copies != 50 {
		t.Fatalf("%d rows, %d encoded: %+v", len(whole.Rows), one.copies, whole)
	}
	moment := time.Unix(100, 0)
	h.set(func() {
		for i := range h.actors {
			h.actors[i].At = moment
		}
	})
	s.changes.Add(1)
	if look(one) != first {
		t.Error("another moment is another frame")
	}
	h.set(func() { h.actors[3].Handled, h.actors[60].Handled = 1, 1 })
	s.changes.Add(1)
	second := look(one)
	changed, at := frame(second, first)
	if _, again := frame(look(two), first); len(changed.Rows) != 1 || changed.Rows[0].ID != "troupe/003" || changed.Order != nil || changed.Gone != nil || at != again || one.copies != 51 {
		t.Errorf("%d encoded: %+v", one.copies, changed)
	}
	h.set(func() { h.actors = append(h.actors[:1:1], h.actors[2:]...) })
	s.changes.Add(1)
	gone, _ := frame(look(one), second)
	if len(gone.Rows) != 1 || gone.Rows[0].ID != "troupe/050" || !cmp.Equal(gone.Gone, []string{"troupe/001"}) || len(gone.Order) != 50 || one.copies != 52 {
		t.Errorf("%d encoded: %+v", one.copies, gone)
	}
	if late, _ := frame(look(two), first); len(late.Rows) != 2 { // it has missed a frame
		t.Errorf("%+v", late)
	}
	two.close()
	if len(s.views.actors.panes) != 1 {
		t.Error("it is forgotten while somebody watches")
	}
}

// TestWhatIsListedIsNotOverwritten: rows of a page stay what they were when the host is looked at again, which uses the memory of rows
// that nobody has.
func TestWhatIsListedIsNotOverwritten(t *testing.T) {
	h := newWorld()
	h.actors = []inspect.Actor{{Path: "troupe/a", Kind: "x", State: "idle"}}
	s := New(h, Options{})
	defer s.Close()
	p := s.views.actors.open(t.Context(), find{limit: 50})
	defer p.close()
	listed, _, err := s.views.actors.rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.set(func() { h.actors = []inspect.Actor{{Path: "troupe/b", Kind: "x", State: "idle"}} })
	var was *inspect.Actor
	for n := range 3 {
		s.changes.Add(1)
		if err := s.views.actors.with(t.Context(), func(rows []inspect.Actor) {
			if n > 1 && was != &rows[0] {
				t.Error("memory that nobody has is not used again")
			}
			was = &rows[0]
		}); err != nil {
			t.Fatal(err)
		}
	}
	if listed[0].Path != "troupe/a" {
		t.Errorf("%+v", listed)
	}
}
