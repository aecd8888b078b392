package liveness

import "time"

const (
	echoInterval = time.Second // between echoes while no control packet is overdue
	echoTimeout  = time.Second // after which an echo counts as lost
	echoWindow   = 20          // number of echoes over which loss is measured
)

// quality measures the round-trip time and loss of one session with its echoes.
type quality struct {
	next     time.Time // of the next echo
	sequence uint32    // of the last echo
	sent     [echoWindow]probe
	rtt      time.Duration // smoothed; 0: never answered
}

type probe struct {
	sequence uint32 // 0: none
	at       time.Time
	answered bool
}

// due returns the sequence number of the next echo if it is due, and schedules the
// one after it.
func (q *quality) due(now time.Time, interval time.Duration) (uint32, bool) {
	if now.Before(q.next) {
		return 0, false
	}
	q.sequence++
	q.next = now.Add(interval)
	q.sent[q.sequence%echoWindow] = probe{sequence: q.sequence, at: now}
	return q.sequence, true
}

// lastEcho returns when the last echo was sent; zero: never.
func (q *quality) lastEcho() time.Time { return q.sent[q.sequence%echoWindow].at }

// handleReply processes a reply, and reports whether it is the first one to an echo
// of the window.
func (q *quality) handleReply(sequence uint32, now time.Time) bool {
	p := &q.sent[sequence%echoWindow]
	if p.sequence != sequence || p.answered || sequence == 0 {
		return false
	}
	p.answered = true
	sample := now.Sub(p.at)
	if q.rtt == 0 {
		q.rtt = sample
	} else {
		q.rtt += (sample - q.rtt) / 8 // RFC 6298 section 2
	}
	q.rtt = max(q.rtt, time.Nanosecond)
	return true
}

// loss returns the share of lost echoes, 0…1, among those that were answered or
// have timed out. It is 0 for a peer that has never answered, which may not answer
// echoes at all.
func (q *quality) loss(now time.Time) float64 {
	if q.rtt == 0 {
		return 0
	}
	var lost, all float64
	for _, p := range q.sent {
		switch {
		case p.sequence == 0 || !p.answered && now.Sub(p.at) < echoTimeout:
			continue
		case !p.answered:
			lost++
		}
		all++
	}
	if all == 0 {
		return 0
	}
	return lost / all
}
