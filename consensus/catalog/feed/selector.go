package feed

import (
	"errors"
	"fmt"
	"strings"
)

// Selector is a list of requirements for labels, all of which must be met. The zero
// value selects all.
type Selector []requirement

type requirement struct {
	key, value string
	exists     bool // the value does not matter
	negated    bool
}

// ParseSelector parses requirements that commas separate: key=value, key!=value, key
// (it exists) or !key (it does not).
func ParseSelector(text string) (Selector, error) {
	if text == "" {
		return nil, nil
	}
	var s Selector
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		var r requirement
		switch before, after, found := strings.Cut(part, "="); {
		case !found:
			r.exists = true
			r.key, r.negated = strings.CutPrefix(part, "!")
		default:
			r.key, r.negated = strings.CutSuffix(before, "!")
			r.value = strings.TrimSpace(strings.TrimPrefix(after, "="))
		}
		r.key = strings.TrimSpace(r.key)
		if r.key == "" {
			return nil, errors.New("a requirement has no key")
		}
		if strings.ContainsAny(r.key, " !()") {
			return nil, fmt.Errorf("requirement %q is not of the form key=value, key!=value, key or !key", part)
		}
		s = append(s, r)
	}
	return s, nil
}

// Matches reports whether labels meet all requirements.
func (s Selector) Matches(labels map[string]string) bool {
	for _, r := range s {
		value, found := labels[r.key]
		if (found && (r.exists || value == r.value)) == r.negated {
			return false
		}
	}
	return true
}
