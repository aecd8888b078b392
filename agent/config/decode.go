package config

import (
	"errors"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/meshway/meshway/agent/suggest"
)

// decoder decodes a syntax tree into a rawConfig. It replaces the decoder of the
// YAML library, which stops at the first error and does not keep the positions of
// values.
type decoder struct {
	file   string
	faults *faults
}

// document parses source and decodes its only document.
func (d decoder) document(source []byte, into *rawConfig) {
	file, err := parser.ParseBytes(source, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			d.faults.add(d.at(syntax.Token), "this is not YAML: %s", syntax.Message)
			return
		}
		d.faults.add(position{file: d.file}, "this is not YAML: %s", firstLine(err.Error()))
		return
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType && doc.Body.Type() != ast.NullType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch {
	case len(bodies) > 1:
		d.faults.add(d.at(bodies[1].GetToken()), "a second document begins here; the configuration is one document")
	case len(bodies) == 1:
		d.value(bodies[0], reflect.ValueOf(into).Elem(), "")
	}
}

// value decodes one node into a struct, list, map or leaf. path is the path of the
// key, for messages.
func (d decoder) value(node ast.Node, into reflect.Value, path string) {
	if node == nil || node.Type() == ast.NullType {
		return // a key without a value counts as absent
	}
	if unsupported(node) {
		d.faults.add(d.at(node.GetToken()), "%sanchors, aliases and tags are not supported; write the value itself", prefix(path))
		return
	}
	switch into.Kind() {
	default: // a pointer: rawConfig has no other kinds
		d.leaf(node, into, path)
	case reflect.Struct:
		d.mapping(node, into, path)
	case reflect.Slice:
		d.sequence(node, into, path)
	case reflect.Map:
		d.table(node, into, path)
	}
}

func (d decoder) leaf(node ast.Node, into reflect.Value, path string) {
	fresh := reflect.New(into.Type().Elem())
	value, ok := fresh.Interface().(leaf)
	if !ok {
		return
	}
	at := d.at(node.GetToken())
	if err := value.set(node, at); err != nil {
		d.faults.add(at, "%s%s", prefix(path), err.Error())
		return
	}
	into.Set(fresh)
}

// mapping decodes the keys of one level into a struct.
func (d decoder) mapping(node ast.Node, into reflect.Value, path string) {
	for _, e := range d.entries(node, path) {
		field, ok := fieldOf(into, e.key)
		if !ok {
			d.unknown(e, into.Type(), path)
			continue
		}
		d.value(e.value, field, join(path, e.key))
	}
	d.setPosition(node, into)
}

// table decodes a mapping with arbitrary keys.
func (d decoder) table(node ast.Node, into reflect.Value, path string) {
	into.Set(reflect.MakeMap(into.Type()))
	for _, e := range d.entries(node, path) {
		value := reflect.New(into.Type().Elem()).Elem()
		d.value(e.value, value, join(path, e.key))
		if !value.IsNil() {
			into.SetMapIndex(reflect.ValueOf(e.key), value)
		}
	}
}

func (d decoder) sequence(node ast.Node, into reflect.Value, path string) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		d.faults.add(d.at(node.GetToken()), "%sexpected a list: one \"- \" for each entry, or [a, b]", prefix(path))
		return
	}
	out := reflect.MakeSlice(into.Type(), 0, len(list.Values))
	for _, item := range list.Values {
		value := reflect.New(into.Type().Elem()).Elem()
		d.value(item, value, path)
		if value.Kind() != reflect.Pointer || !value.IsNil() {
			out = reflect.Append(out, value)
		}
	}
	into.Set(out)
}

// entry is one key of a mapping.
type entry struct {
	key   string
	at    position
	value ast.Node
}

// entries lists the keys of a mapping and reports duplicates.
func (d decoder) entries(node ast.Node, path string) []entry {
	m, ok := node.(ast.MapNode)
	if !ok {
		d.faults.add(d.at(node.GetToken()), "%sexpected keys with values", prefix(path))
		return nil
	}
	seen := map[string]position{}
	var out []entry
	for it := m.MapRange(); it.Next(); {
		keyToken := it.Key().GetToken()
		e := entry{
			key:   keyToken.Value,
			at:    d.at(keyToken),
			value: it.Value(),
		}
		if first, twice := seen[e.key]; twice {
			d.faults.add(e.at, "duplicate key %q: it is already in line %d; remove one", join(path, e.key), first.line)
			continue
		}
		seen[e.key] = e.at
		out = append(out, e)
	}
	return out
}

// unknown reports an unknown key, with the nearest key of its level if there is
// one.
func (d decoder) unknown(e entry, level reflect.Type, path string) {
	keys := keysOf(level)
	if near, ok := suggest.Nearest(e.key, keys); ok {
		d.faults.add(e.at, "unknown key %q: did you mean %q?", join(path, e.key), near)
		return
	}
	d.faults.add(e.at, "unknown key %q; use one of %s", join(path, e.key), strings.Join(keys, ", "))
}

// setPosition stores the position of a list's element in it.
func (d decoder) setPosition(node ast.Node, into reflect.Value) {
	at := d.at(node.GetToken())
	if m, ok := node.(ast.MapNode); ok {
		if it := m.MapRange(); it.Next() {
			at = d.at(it.Key().GetToken())
		}
	}
	switch raw := into.Addr().Interface().(type) {
	case *rawService:
		raw.at = at
	case *rawPort:
		raw.at = at
	}
}

func (d decoder) at(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{file: d.file}
	}
	return position{
		file:   d.file,
		line:   t.Position.Line,
		column: t.Position.Column,
	}
}

// unsupported reports whether a node uses a feature of YAML that the
// configuration does not support.
func unsupported(node ast.Node) bool {
	switch node.Type() {
	case ast.AnchorType, ast.AliasType, ast.TagType, ast.MergeKeyType:
		return true
	default:
		return false
	}
}

// fieldOf returns the field of a struct for a key, and false if there is none.
func fieldOf(s reflect.Value, key string) (reflect.Value, bool) {
	for _, field := range reflect.VisibleFields(s.Type()) {
		if field.Tag.Get("yaml") == key {
			return s.FieldByIndex(field.Index), key != ""
		}
	}
	return reflect.Value{}, false
}

// keysOf lists the keys of one level in the order of reference.yaml.
func keysOf(level reflect.Type) []string {
	var out []string
	for _, field := range reflect.VisibleFields(level) {
		if key := field.Tag.Get("yaml"); key != "" {
			out = append(out, key)
		}
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
