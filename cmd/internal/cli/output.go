package cli

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/template"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// The forms of what is printed.
const (
	formTable    = "table"
	formWide     = "wide"
	formJSON     = "json"
	formLines    = "jsonl"
	formName     = "name"
	formTemplate = "template"
)

// form is the flag -o.
type form struct {
	value string
	text  *template.Template // of formTemplate
}

func (f *form) String() string { return f.value }

func (f *form) Type() string { return strings.Join(forms, "|") + "TEXT" }

// forms are the values of -o, as completion offers them.
var forms = []string{formTable, formWide, formJSON, formLines, formName, formTemplate + "="}

func (f *form) Set(text string) error {
	name, rest, given := strings.Cut(text, "=")
	switch {
	case name == formTemplate && given && rest != "":
		t, err := template.New("-o").Option("missingkey=error").Funcs(templateFuncs).Parse(rest)
		if err != nil {
			return errors.New(strings.TrimPrefix(err.Error(), "template: "))
		}
		f.value, f.text = formTemplate, t
		return nil
	case given || name == formTemplate || name == "":
	default:
		for _, known := range forms {
			if known == name {
				f.value, f.text = name, nil
				return nil
			}
		}
	}
	return fmt.Errorf("choose %s, or %s=TEXT with a Go template", strings.Join(forms[:len(forms)-1], ", "), formTemplate)
}

// templateFuncs are what a template can call beside the functions of text/template. 'troupe help output' explains them.
var templateFuncs = template.FuncMap{
	"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(escapeUnprintable(b)), err
	},
	"join": func(sep string, list []any) string {
		parts := make([]string, len(list))
		for i, x := range list {
			parts[i] = fmt.Sprint(x)
		}
		return strings.Join(parts, sep)
	},
	"short": short,
	"ago": func(t string) string {
		at, err := time.Parse(time.RFC3339Nano, t)
		if err != nil {
			return "never"
		}
		return ago(at)
	},
	"size": func(n any) (string, error) { return ofNumber(n, sizeText) },
	"span": func(n any) (string, error) { return ofNumber(n, micros) },
}

func ofNumber(n any, text func(int64) string) (string, error) {
	v := reflect.ValueOf(n)
	switch {
	case v.CanInt():
		return text(v.Int()), nil
	case v.CanUint():
		return text(int64(min(v.Uint(), 1<<62))), nil
	case v.CanFloat():
		return text(int64(v.Float())), nil
	}
	return "", fmt.Errorf("%v is no number", n)
}

// json reports whether the output is for programs: [app.printJSON] and [printRows] know in which form.
func (a *app) json() bool {
	switch a.format.value {
	case "", formTable, formWide:
		return false
	}
	return true
}

// printJSON prints one thing in the form that was asked for.
func (a *app) printJSON(v any) {
	switch a.format.value {
	case formTemplate:
		a.printTemplate(v)
	case formLines:
		a.printJSONLine(v)
	default:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		_ = e.Encode(v) // nothing that is printed cannot be encoded
		_, _ = a.out.Write(escapeUnprintable(b.Bytes()))
	}
}

// printRows prints a list: as a whole for json, otherwise row by row. name is what other verbs call a row.
func printRows[T any](a *app, whole any, rows []T, name func(T) string) {
	if a.format.value == formJSON {
		a.printJSON(whole)
		return
	}
	for _, row := range rows {
		a.printRow(row, name(row))
	}
}

// printRow prints one row of a list for programs.
func (a *app) printRow(row any, name string) {
	switch a.format.value {
	case formName:
		fmt.Fprintf(a.out, "%s\n", oneLine(name))
	case formTemplate:
		a.printTemplate(row)
	default:
		a.printJSONLine(row)
	}
}

func (a *app) printJSONLine(v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	_, _ = a.out.Write(escapeUnprintable(b.Bytes()))
}

// printTemplate prints what the template makes of a thing, and ends the line. What it fails for is kept: the verb ends with it.
func (a *app) printTemplate(v any) {
	if a.failed != nil {
		return
	}
	var b bytes.Buffer
	if err := a.format.text.Execute(&b, shapeOf(reflect.ValueOf(v))); err != nil {
		a.failed = usage("-o template: "+templateFault(err), "its fields are those of -o json; see 'troupe help output'")
		return
	}
	if text := b.Bytes(); len(text) > 0 && text[len(text)-1] != '\n' {
		b.WriteByte('\n')
	}
	_, _ = io.Copy(a.out, &b)
}

// templateFault says what is wrong without the words of the library around it.
func templateFault(err error) string {
	text := err.Error()
	if _, rest, ok := strings.Cut(text, "executing \"-o\" at "); ok {
		return rest
	}
	return text
}

var (
	marshalsJSON = reflect.TypeFor[json.Marshaler]()
	marshalsText = reflect.TypeFor[encoding.TextMarshaler]()
)

// shapeOf returns what a template sees of v: the fields of its JSON, also those that JSON leaves out when they are empty, so
// that only a field that does not exist is an error. Text is defused.
func shapeOf(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	t := v.Type()
	if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface && (t.Implements(marshalsJSON) || t.Implements(marshalsText)) {
		return marshaled(v)
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return shapeOf(v.Elem())
	case reflect.Struct:
		fields := map[string]any{}
		addFields(fields, v)
		return fields
	case reflect.Map:
		fields := map[string]any{}
		for i := v.MapRange(); i.Next(); {
			fields[oneLine(fmt.Sprint(i.Key().Interface()))] = shapeOf(i.Value())
		}
		return fields
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return marshaled(v)
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = shapeOf(v.Index(i))
		}
		return list
	case reflect.String:
		return oneLine(v.String())
	}
	return v.Interface()
}

func addFields(fields map[string]any, v reflect.Value) {
	var own []int // after those that are embedded, which they hide
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			addFields(fields, v.Field(i))
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct:
			if inner := v.Field(i); inner.IsNil() {
				addFields(fields, reflect.Zero(f.Type.Elem()))
			} else {
				addFields(fields, inner.Elem())
			}
		case !f.IsExported() || name == "-" || name == "":
		default:
			own = append(own, i)
		}
	}
	for _, i := range own {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = shapeOf(v.Field(i))
	}
}

// marshaled is the shape of what decides on its JSON itself. A time that is not set is empty.
func marshaled(v reflect.Value) any {
	if at, ok := v.Interface().(time.Time); ok && at.IsZero() {
		return ""
	}
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out any
	if d.Decode(&out) != nil {
		return nil
	}
	return plainShape(out)
}

func plainShape(v any) any {
	switch v := v.(type) {
	case string:
		return oneLine(v)
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = plainShape(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainShape(v[k])
		}
	}
	return v
}

// refuseForm says why a verb cannot print in the form that was asked for.
func (a *app) refuseForm(v verb, path string) error {
	if a.format.value == formName && !v.rows {
		return usage("'"+path+"' prints no list", "-o name is for lists: choose another form")
	}
	return nil
}

// quoted is text of others for one cell of a table: one line, and no more than most bytes.
func quoted(text string, most int) string {
	text = strings.Join(strings.Fields(text[:min(len(text), 4*most)]), " ")
	if most <= fault.MaxQuoted {
		text = fault.Quote(text)
	} else {
		text = oneLine(text)
	}
	if len(text) <= most {
		return text
	}
	cut := most - len("…")
	for cut > 0 && text[cut]&0xc0 == 0x80 {
		cut--
	}
	return text[:cut] + "…"
}

// maxCell bounds one cell of a table, in bytes.
const maxCell = fault.MaxQuoted
