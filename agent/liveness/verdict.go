package liveness

import "time"

// verdict is the state of a session that Sessions reports.
type verdict struct {
	up                     bool
	undecided              bool
	draining               bool // the peer is drained
	peerCopied, selfCopied bool // two hosts run the peer, or this gateway
}

// report publishes a change of an entry's verdict.
func (m *Monitor) report(e *entry, now time.Time) {
	v := verdict{
		up: e.usable(now), draining: e.peerDrained(now),
		peerCopied: e.copies.peer.certain(now), selfCopied: e.copies.self.certain(now),
	}
	v.undecided = e.undecided && !v.up && !e.decided(now)
	if v == e.verdict {
		return
	}
	if v.up != e.up {
		e.since = now
		state := "down"
		if v.up {
			state = "up"
		}
		m.log.Info("liveness session "+state, "gateway", string(e.cfg.Gateway), "device", e.cfg.Device, "reason", e.diagnostic.String())
	}
	e.verdict = v
	m.changed.Notify()
}
