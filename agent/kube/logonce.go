package kube

// LogOnce decides whether to log an error that recurs at every attempt. The zero
// value is ready to use.
type LogOnce struct{ last string }

// IsNew reports whether err is not nil and differs from that of the previous call.
func (l *LogOnce) IsNew(err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	known := text == l.last
	l.last = text
	return text != "" && !known
}
