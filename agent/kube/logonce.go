package kube

import apierrors "k8s.io/apimachinery/pkg/api/errors"

// LogOnce decides whether to log an error that recurs at every attempt. The zero
// value is ready to use.
type LogOnce struct {
	last      string
	conflicts int // without another result in between
}

// IsNew reports whether err is not nil and differs from that of the previous call. A
// conflict with another write is an error only if it recurs: the next attempt is made
// with the current object.
func (l *LogOnce) IsNew(err error) bool {
	if !apierrors.IsConflict(err) {
		l.conflicts = 0
	} else if l.conflicts++; l.conflicts == 1 {
		return false
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	known := text == l.last
	l.last = text
	return text != "" && !known
}
