package manifest

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/troupehost/troupe/actors/fault"
)

// MaxTextBytes is the size that a JSON form or a description may have.
const MaxTextBytes = 1 << 20

// decodeStrictly fills out, a pointer to a struct, and knows every key of b. The library by itself takes keys in any case, and
// the last of those that repeat, so that two readers could see two manifests in one file.
func decodeStrictly(b []byte, out any) error {
	if len(b) > MaxTextBytes {
		return tooLarge(len(b))
	}
	if !utf8.Valid(b) { // the library would replace what it cannot read
		return malformed(errors.New("text that is not UTF-8"))
	}
	if !json.Valid(b) { // which bounds the depth, too
		var v any
		return malformed(json.Unmarshal(b, &v))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := knownKeys(d, reflect.TypeOf(out), ""); err != nil {
		return err
	}
	if err := json.Unmarshal(b, out); err != nil {
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return invalid(e.Field, "must be "+kindName(e.Type)+", and is "+fault.Quote(e.Value))
		}
		return malformed(err)
	}
	return nil
}

func malformed(err error) error { return fault.New(fault.CallerManifest, "read manifest", "", err) }

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	}
	if t == reflect.TypeFor[jsonDuration]() || t == reflect.TypeFor[jsonEntry]() || t == reflect.TypeFor[jsonReuse]() || t == reflect.TypeFor[jsonPolicy]() {
		return "text"
	}
	return fmt.Sprintf("a whole number of %d bits", t.Bits())
}

// knownKeys reads one value, and holds its keys against the fields of t.
func knownKeys(d *json.Decoder, t reflect.Type, path string) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	token, err := d.Token()
	if err != nil {
		return malformed(err)
	}
	switch token {
	case json.Delim('['):
		var element reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			element = t.Elem()
		}
		for i := 0; d.More(); i++ {
			if err := knownKeys(d, element, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case json.Delim('{'):
		seen := once[string]{}
		for d.More() {
			token, err := d.Token()
			if err != nil {
				return malformed(err)
			}
			key, _ := token.(string)
			at := fault.Quote(strings.TrimPrefix(path+"."+key, "."))
			value, ok := field(t, key)
			switch {
			case !ok:
				return invalid(at, "there is no such key")
			case !seen.add(key):
				return invalid(at, "is there twice")
			}
			if err := knownKeys(d, value, at); err != nil {
				return err
			}
		}
		_, err = d.Token()
	default:
		return knownText(token, t, path)
	}
	if err != nil {
		return malformed(err)
	}
	return nil
}

// knownText holds a text against the words that a field knows: the library would not say which field it is.
func knownText(token json.Token, t reflect.Type, path string) error {
	text, ok := token.(string)
	if !ok || t == nil {
		return nil
	}
	if u, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return invalid(path, err.Error())
		}
	}
	return nil
}

// field returns the type of a key. Of what is neither struct nor map, the library will complain.
func field(t reflect.Type, key string) (reflect.Type, bool) {
	switch {
	case t == nil:
		return nil, true
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	case t.Kind() != reflect.Struct:
		return nil, true
	}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name == key {
			return t.Field(i).Type, true
		}
	}
	return nil, false
}
