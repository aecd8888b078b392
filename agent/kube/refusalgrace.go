package kube

import "time"

// refusalLimit is how long a request must be refused before what was known is given up:
// an API server that starts refuses all requests until it has read its roles, and does not
// know the kinds of CRDs until it has read these.
const refusalLimit = time.Minute

// RefusalGrace decides how long what is known is kept while the API server refuses to list
// it. The zero value is ready to use.
type RefusalGrace struct{ since time.Time }

// Left returns how long what is known is kept from the time now on. lacking reports that
// something known is missing now, because of a refusal.
func (g *RefusalGrace) Left(lacking bool, now time.Time) time.Duration {
	if !lacking {
		g.since = time.Time{}
		return 0
	}
	if g.since.IsZero() {
		g.since = now
	}
	return max(refusalLimit-now.Sub(g.since), 0)
}
