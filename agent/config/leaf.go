package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// leaf is a scalar value of the file.
type leaf interface {
	// set sets the value from a node. Its error states the expected form.
	set(node ast.Node, at position) error
}

// text is a string. An empty one counts as absent, so that templates may leave
// values empty.
type text struct {
	value string
	at    position
}

func (t *text) set(node ast.Node, at position) error {
	t.at = at
	switch n := node.(type) {
	case *ast.StringNode:
		t.value = n.Value
	case *ast.LiteralNode:
		t.value = n.Value.Value
	case ast.ScalarNode:
		return fmt.Errorf("%s is not text; put it in quotes", node.GetToken().Value)
	default:
		return errors.New("expected text; put it in quotes")
	}
	return nil
}

// or returns the text, with value as the default for an absent one.
func (t *text) or(value string) text {
	switch {
	case t == nil:
		return text{value: value}
	case t.value == "":
		return text{value: value, at: t.at}
	}
	return *t
}

// number is an integer.
type number struct {
	value int64
	at    position
}

func (n *number) set(node ast.Node, at position) error {
	n.at = at
	integer, ok := node.(*ast.IntegerNode)
	if !ok {
		return errors.New("expected a whole number")
	}
	switch v := integer.Value.(type) {
	case int64:
		n.value = v
	case uint64:
		const most = 1 << 62 // more than any limit, so that the range check refuses it
		n.value = int64(min(v, most))
	default:
		return errors.New("expected a whole number")
	}
	return nil
}

func (n *number) or(value int64) number {
	if n == nil {
		return number{value: value}
	}
	return *n
}

// toggle is true or false.
type toggle struct {
	value bool
	at    position
}

func (b *toggle) set(node ast.Node, at position) error {
	b.at = at
	boolean, ok := node.(*ast.BoolNode)
	if !ok {
		return errors.New("expected true or false")
	}
	b.value = boolean.Value
	return nil
}

func (b *toggle) on() bool { return b != nil && b.value }

// duration is a length of time with a unit.
type duration struct {
	value time.Duration
	at    position
}

func (d *duration) set(node ast.Node, at position) error {
	d.at = at
	value := node.GetToken().Value
	parsed, err := time.ParseDuration(value)
	switch _, scalar := node.(ast.ScalarNode); {
	case !scalar:
		return errors.New("expected a duration such as 25s or 200ms")
	case err == nil:
		d.value = parsed
		return nil
	default:
		return fmt.Errorf("%q is not a duration; write a number and a unit, such as 25s or 200ms", value)
	}
}

func (d *duration) or(value time.Duration) duration {
	if d == nil {
		return duration{value: value}
	}
	return *d
}
