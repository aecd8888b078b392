package liveness

import "time"

// slowTxInterval is the minimum time between control packets while a session is
// not up (RFC 5880 section 6.8.3), so that sessions to hosts that no longer exist
// cost little.
const slowTxInterval = time.Second

// timing has the parameters of one side of a session.
type timing struct {
	interval   time.Duration // desired between packets in both directions
	detectMult uint8         // bfd.DetectMult
}

// session is the state machine of RFC 5880 section 6.8. It is pure: the caller
// passes the time and the received packets, and sends the packets that it returns.
type session struct {
	timing
	state      State      // bfd.SessionState
	diagnostic Diagnostic // bfd.LocalDiag
	localDiscr uint32     // bfd.LocalDiscr, never 0
	polling    bool       // a poll sequence is in progress (section 6.5)
	// formerInterval is the interval before the change that the poll sequence
	// announces: the peer may still use it. 0: none.
	formerInterval time.Duration
	remote         remoteVariables

	created     time.Time
	lastControl time.Time // of the last valid control packet
	lastPacket  time.Time // of the last authenticated packet of any kind
	nextTx      time.Time // when the next control packet is due
	// graceUntil bridges the restart of the peer's agent. A restarted agent has a
	// new discriminator and state Down, which ends the session by the rules of
	// section 6.2 although the path works; the session is up again one round trip
	// later. Zero: no grace period.
	graceUntil time.Time
}

// remoteVariables are the variables that control packets of the peer set
// (RFC 5880 section 6.8.1).
type remoteVariables struct {
	state                State         // bfd.RemoteSessionState
	discr                uint32        // bfd.RemoteDiscr; 0: unknown
	desiredMinTxInterval time.Duration // of the last received packet
	minRxInterval        time.Duration // bfd.RemoteMinRxInterval
	detectMult           uint8         // of the last received packet; 0: none received
}

func newSession(t timing, discriminator uint32, now time.Time) session {
	return session{
		timing: t, state: Down, localDiscr: discriminator,
		remote:  remoteVariables{state: Down, minRxInterval: time.Microsecond}, // RFC 5880 section 6.8.1
		created: now, nextTx: now,
	}
}

// desiredMinTxInterval returns bfd.DesiredMinTxInterval.
func (s *session) desiredMinTxInterval() time.Duration {
	// The peer of a drained session may not have received AdminDown yet.
	if s.state == Up || s.state == AdminDown && s.remote.state == Up {
		return s.interval
	}
	return max(s.interval, slowTxInterval)
}

// setInterval changes the interval of a session that may be up (RFC 5880 section
// 6.8.3). Until the poll sequence ends, our packets are sent no slower than
// before, and the peer's packets are expected no sooner: otherwise the session
// would go down if the announcement were lost.
func (s *session) setInterval(interval time.Duration, now time.Time) {
	if interval == s.interval {
		return
	}
	if s.state == Up {
		s.polling, s.nextTx = true, now
		if s.formerInterval == 0 {
			s.formerInterval = s.interval
		}
	}
	s.interval = interval
}

// drain puts the session into state AdminDown, or back into use (RFC 5880 section
// 6.8.16). The peer of a drained session sends no traffic; it still receives ours.
func (s *session) drain(on bool, now time.Time) {
	switch {
	case on && s.state != AdminDown:
		s.graceUntil = time.Time{}
		s.enter(AdminDown, AdministrativelyDown)
	case !on && s.state == AdminDown:
		if s.usable(now) { // it stays usable until the session is up again
			s.graceUntil = now.Add(s.slowDetectionTime())
		}
		s.enter(Down, NoDiagnostic)
	default:
		return
	}
	s.nextTx = now
}

// slowDetectionTime returns the detection time at the slow transmit interval.
func (s *session) slowDetectionTime() time.Duration {
	return time.Duration(s.detectMult) * slowTxInterval
}

// peerDrained reports whether the peer is in state AdminDown and its packets still
// arrive.
func (s *session) peerDrained(now time.Time) bool {
	return s.state == Down && s.remote.state == AdminDown && now.Sub(s.lastControl) < s.slowDetectionTime()
}

// detectionTime returns the time without packets after which the session goes down
// (RFC 5880 section 6.8.4). It is 0 before the first control packet.
func (s *session) detectionTime() time.Duration {
	return time.Duration(s.remote.detectMult) * max(s.interval, s.formerInterval, s.remote.desiredMinTxInterval)
}

// txInterval returns the time between our control packets (RFC 5880 section 6.8.7).
func (s *session) txInterval() time.Duration {
	interval := s.desiredMinTxInterval()
	if s.formerInterval != 0 {
		interval = min(interval, s.formerInterval)
	}
	return max(interval, s.remote.minRxInterval)
}

// receive processes a control packet of the peer (RFC 5880 section 6.8.6). It
// reports whether a packet should be sent at once: to answer a poll, or to announce
// a new state before the next one is due (section 6.8.7).
func (s *session) receive(p Control, now time.Time) (reply bool) {
	if p.YourDiscriminator != 0 && p.YourDiscriminator != s.localDiscr {
		return false
	}
	before := s.state
	detection := s.detectionTime()
	restarted := s.remote.discr != 0 && p.MyDiscriminator != s.remote.discr && p.YourDiscriminator == 0
	s.remote.discr, s.remote.state = p.MyDiscriminator, p.State
	s.remote.desiredMinTxInterval, s.remote.detectMult = p.DesiredMinTxInterval, p.DetectMult
	if p.RequiredMinRxInterval != s.remote.minRxInterval {
		s.remote.minRxInterval = p.RequiredMinRxInterval
		s.nextTx = earlier(s.nextTx, now.Add(s.txInterval())) // section 6.8.3: at once
	}
	s.lastControl, s.lastPacket = now, now
	if p.Final {
		s.polling, s.formerInterval = false, 0
	}
	s.transition(p)
	if before == Up && s.state != Up {
		s.graceUntil = time.Time{}
		if restarted && p.State == Down {
			s.graceUntil = now.Add(detection)
			s.transition(p) // the same packet is the first of the new session
		}
	}
	return p.Poll || s.state != before
}

// transition is the state machine of RFC 5880 section 6.2.
func (s *session) transition(p Control) {
	switch {
	case s.state == AdminDown: // only drain leaves this state
	case p.State == AdminDown:
		if s.state != Down {
			s.enter(Down, NeighborSignaledDown)
		}
	case s.state == Down && p.State == Down:
		s.enter(Init, s.diagnostic)
	case s.state == Down && p.State == Init:
		s.enter(Up, NoDiagnostic)
	case s.state == Init && (p.State == Init || p.State == Up):
		s.enter(Up, NoDiagnostic)
	case s.state == Up && p.State == Down:
		s.enter(Down, NeighborSignaledDown)
	}
}

func (s *session) enter(state State, why Diagnostic) {
	s.state, s.diagnostic = state, why
	if state == Up {
		s.graceUntil = time.Time{}
	}
	// State Up changes the transmit interval, which needs a poll sequence
	// (RFC 5880 section 6.8.3).
	s.polling, s.formerInterval = state == Up, 0
}

// noteActivity records an authenticated packet other than a control packet. It
// extends a session that is up, but cannot bring one up, because it does not show
// whether the peer receives our packets.
func (s *session) noteActivity(now time.Time) {
	if now.After(s.lastPacket) {
		s.lastPacket = now
	}
}

// expire takes the session down if the detection time has passed, and reports
// whether it did.
func (s *session) expire(now time.Time) bool {
	detection := s.detectionTime()
	if !s.graceUntil.IsZero() && !now.Before(s.graceUntil) {
		s.graceUntil = time.Time{}
	}
	switch {
	case detection == 0: // no control packet received yet
	case s.state == Up && now.Sub(s.lastPacket) >= detection,
		s.state == Init && now.Sub(s.lastControl) >= detection:
		s.enter(Down, DetectionTimeExpired)
		s.remote.discr = 0
		s.nextTx = now // announce the new state at once
		return true
	case s.state == Down && now.Sub(s.lastControl) >= detection:
		s.remote.discr = 0 // RFC 5880 section 6.8.1: bfd.RemoteDiscr
	}
	return false
}

// due returns the next control packet if it is due, and schedules the one after
// it. jitter is in [0,1).
func (s *session) due(now time.Time, jitter float64) (Control, bool) {
	if now.Before(s.nextTx) {
		return Control{}, false
	}
	s.nextTx = now.Add(jittered(s.txInterval(), s.detectMult, jitter))
	if s.remote.minRxInterval == 0 {
		return Control{}, false // section 6.8.7: the peer must not be sent periodic packets
	}
	return s.packet(), true
}

// packet returns the control packet with the current state of the session.
func (s *session) packet() Control {
	return Control{
		Diagnostic:            s.diagnostic,
		State:                 s.state,
		Poll:                  s.polling,
		DetectMult:            s.detectMult,
		MyDiscriminator:       s.localDiscr,
		YourDiscriminator:     s.remote.discr,
		DesiredMinTxInterval:  s.desiredMinTxInterval(),
		RequiredMinRxInterval: s.interval,
	}
}

// nextEvent returns when the session next needs to send or to change, if nothing
// arrives.
func (s *session) nextEvent(now time.Time) time.Time { return s.deadline(s.nextTx, now) }

// deadline returns when the session changes if nothing arrives, or limit if that is
// earlier.
func (s *session) deadline(limit, now time.Time) time.Time {
	detection := s.detectionTime()
	switch {
	case s.state == Up:
		return earlier(limit, s.lastPacket.Add(detection))
	case s.state == Init:
		limit = earlier(limit, s.lastControl.Add(detection))
	case s.state == AdminDown && s.usable(now):
		limit = earlier(limit, s.lastPacket.Add(s.slowDetectionTime()))
	case s.peerDrained(now):
		limit = earlier(limit, s.lastControl.Add(s.slowDetectionTime()))
	}
	if !s.graceUntil.IsZero() {
		limit = earlier(limit, s.graceUntil)
	}
	return limit
}

// usable reports whether traffic may be sent to the peer: the session is up, or the
// peer's agent is restarting, or only this side is drained.
func (s *session) usable(now time.Time) bool {
	if s.state == AdminDown {
		return !s.lastPacket.IsZero() && now.Sub(s.lastPacket) < s.slowDetectionTime()
	}
	return s.state == Up || now.Before(s.graceUntil)
}

// decided reports whether the session has existed for one slow detection time, in
// which it could have come up.
func (s *session) decided(now time.Time) bool {
	return now.Sub(s.created) >= s.slowDetectionTime()
}

// overdueAfter returns the time after the last control packet from which the next
// one is overdue. It is well below the detection time.
func (s *session) overdueAfter() time.Duration {
	return max(s.interval, s.remote.desiredMinTxInterval) * 3 / 2
}

// overdue reports whether the session is up and past its next expected control
// packet.
func (s *session) overdue(now time.Time) bool {
	return s.state == Up && now.Sub(s.lastControl) > s.overdueAfter()
}

// jittered returns an interval with jitter: 75 to 100 %, or to 90 % if the detect
// multiplier is 1 (RFC 5880 section 6.8.7).
func jittered(interval time.Duration, detectMult uint8, jitter float64) time.Duration {
	width := 0.25
	if detectMult == 1 {
		width = 0.15
	}
	return time.Duration(float64(interval) * (0.75 + width*jitter))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
