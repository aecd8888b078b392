package liveness

import "time"

const (
	echoInterval = time.Second // between echoes while all is well
	echoTimeout  = time.Second // after which an echo counts as lost
	echoWindow   = 20          // echoes that loss is counted over
)

// quality measures round-trip time and loss of one session by its echoes.
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

// due returns the sequence number of an echo if one should go out now.
func (q *quality) due(now time.Time, interval time.Duration) (uint32, bool) {
	if now.Before(q.next) {
		return 0, false
	}
	q.sequence++
	q.next = now.Add(interval)
	q.sent[q.sequence%echoWindow] = probe{sequence: q.sequence, at: now}
	return q.sequence, true
}

// lastEcho is when the last echo went out; zero: never.
func (q *quality) lastEcho() time.Time { return q.sent[q.sequence%echoWindow].at }

// handleReply takes a reply; one that nobody waits for any more is ignored.
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

// loss is the share of echoes without answer among those that had their
// time, 0…1. A peer that never answered may just not answer pings: 0.
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
