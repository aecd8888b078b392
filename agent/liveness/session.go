package liveness

import "time"

// slowTxInterval is the least time between control packets while a session is
// not up (RFC 5880 section 6.8.3), so that sessions to hosts that are gone
// cost little.
const slowTxInterval = time.Second

// timing is how one side wants its session to be.
type timing struct {
	interval   time.Duration // desired between packets in both directions
	detectMult uint8
}

// session is the state machine of RFC 5880 section 6.8 with the names of its
// variables. It knows no clock and no network: time comes in, packets come out.
type session struct {
	timing
	state          State
	diagnostic     Diagnostic
	localDiscr     uint32        // discriminator, never 0
	polling        bool          // a change of our timers is not confirmed yet
	formerInterval time.Duration // interval that the peer may still go by until then; 0: none

	remoteState State
	remoteDiscr uint32 // discriminator; 0: not known
	remoteTx    time.Duration
	remoteRx    time.Duration
	remoteMult  uint8

	created     time.Time
	lastControl time.Time // last valid control packet
	lastPacket  time.Time // last authenticated packet of any kind
	nextTx      time.Time
	// graceUntil bridges the restart of the peer's agent: it comes back with
	// a new discriminator and state Down, which ends the session by the rules,
	// although the path works; it is up again one round trip later.
	graceUntil time.Time
}

func newSession(t timing, discriminator uint32, now time.Time) session {
	return session{
		timing: t, state: Down, localDiscr: discriminator,
		remoteState: Down, remoteRx: time.Microsecond, // RFC 5880 section 6.8.1
		created: now, nextTx: now,
	}
}

// desiredMinTx is bfd.DesiredMinTxInterval.
func (s *session) desiredMinTx() time.Duration {
	if s.state == Up || s.state == AdminDown && s.remoteState == Up { // it has not heard yet
		return s.interval
	}
	return max(s.interval, slowTxInterval)
}

// setInterval changes the pace of a session that may be up (RFC 5880 section
// 6.8.3). Until the peer has confirmed that it knows, our packets come no
// slower than before, and its packets are expected no sooner: the session
// would go down otherwise, were the announcement lost.
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

// drain takes the session out of use, or back into it (RFC 5880 section
// 6.8.16). The peer then sends us nothing more; we still send to it.
func (s *session) drain(on bool, now time.Time) {
	switch {
	case on && s.state != AdminDown:
		s.graceUntil = time.Time{}
		s.enter(AdminDown, AdministrativelyDown)
	case !on && s.state == AdminDown:
		if s.usable(now) { // until the handshake that follows
			s.graceUntil = now.Add(s.slowDetectionTime())
		}
		s.enter(Down, NoDiagnostic)
	default:
		return
	}
	s.nextTx = now
}

// slowDetectionTime is the detection time at the slow rate.
func (s *session) slowDetectionTime() time.Duration {
	return time.Duration(s.detectMult) * slowTxInterval
}

// peerDrained says whether the peer is taken out of use, while the way to it works.
func (s *session) peerDrained(now time.Time) bool {
	return s.state == Down && s.remoteState == AdminDown && now.Sub(s.lastControl) < s.slowDetectionTime()
}

// detectionTime is after which silence the session is down (RFC 5880 section 6.8.4).
func (s *session) detectionTime() time.Duration {
	return time.Duration(s.remoteMult) * max(s.interval, s.formerInterval, s.remoteTx)
}

// txInterval is between our packets (RFC 5880 section 6.8.7).
func (s *session) txInterval() time.Duration {
	interval := s.desiredMinTx()
	if s.formerInterval != 0 {
		interval = min(interval, s.formerInterval)
	}
	return max(interval, s.remoteRx)
}

// receive takes a packet that belongs to this session (RFC 5880 section
// 6.8.6) and says whether one should be sent at once: to answer a poll, or to
// tell of a new state without waiting for the next turn (section 6.8.7).
func (s *session) receive(p Control, now time.Time) (reply bool) {
	if p.YourDiscriminator != 0 && p.YourDiscriminator != s.localDiscr {
		return false
	}
	before := s.state
	detection := s.detectionTime()
	restarted := s.remoteDiscr != 0 && p.MyDiscriminator != s.remoteDiscr && p.YourDiscriminator == 0
	s.remoteDiscr, s.remoteState = p.MyDiscriminator, p.State
	s.remoteTx, s.remoteMult = p.DesiredMinTxInterval, p.DetectMult
	if p.RequiredMinRxInterval != s.remoteRx {
		s.remoteRx = p.RequiredMinRxInterval
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
			s.transition(p) // the same packet already begins the new session
		}
	}
	return p.Poll || s.state != before
}

// transition is the state machine of RFC 5880 section 6.2.
func (s *session) transition(p Control) {
	switch {
	case s.state == AdminDown: // until drain says otherwise
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
	// Coming up changes our transmit interval, which takes a poll sequence
	// (RFC 5880 section 6.8.3).
	s.polling, s.formerInterval = state == Up, 0
}

// noteActivity notes an authenticated packet that is no control packet. It prolongs
// a session that is up; it cannot bring one up, because it says nothing of
// whether the peer hears us.
func (s *session) noteActivity(now time.Time) {
	if now.After(s.lastPacket) {
		s.lastPacket = now
	}
}

// expire takes the session down after silence, and says whether it did.
func (s *session) expire(now time.Time) bool {
	detection := s.detectionTime()
	if !s.graceUntil.IsZero() && !now.Before(s.graceUntil) {
		s.graceUntil = time.Time{}
	}
	switch {
	case detection == 0: // nothing heard ever
	case s.state == Up && now.Sub(s.lastPacket) >= detection,
		s.state == Init && now.Sub(s.lastControl) >= detection:
		s.enter(Down, DetectionTimeExpired)
		s.remoteDiscr = 0
		s.nextTx = now // tell the peer at once
		return true
	case s.state == Down && now.Sub(s.lastControl) >= detection:
		s.remoteDiscr = 0 // RFC 5880 section 6.8.1: bfd.RemoteDiscr
	}
	return false
}

// due returns the packet for the next turn if it has come, and sets the one
// after. jitter is in [0,1).
func (s *session) due(now time.Time, jitter float64) (Control, bool) {
	if now.Before(s.nextTx) {
		return Control{}, false
	}
	s.nextTx = now.Add(jittered(s.txInterval(), s.detectMult, jitter))
	if s.remoteRx == 0 {
		return Control{}, false // it asked for silence
	}
	return s.packet(), true
}

// packet is the control packet that describes the session now.
func (s *session) packet() Control {
	return Control{
		Diagnostic: s.diagnostic, State: s.state, Poll: s.polling, DetectMult: s.detectMult,
		MyDiscriminator: s.localDiscr, YourDiscriminator: s.remoteDiscr,
		DesiredMinTxInterval: s.desiredMinTx(), RequiredMinRxInterval: s.interval,
	}
}

// nextEvent is when something is to be done next if nothing arrives.
func (s *session) nextEvent(now time.Time) time.Time { return s.deadline(s.nextTx, now) }

// deadline is when silence changes the session, or limit if that is earlier.
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

// usable says whether traffic may be sent: the session is up, or the peer's
// agent is just coming back, or it is we who are not to be sent to.
func (s *session) usable(now time.Time) bool {
	if s.state == AdminDown {
		return !s.lastPacket.IsZero() && now.Sub(s.lastPacket) < s.slowDetectionTime()
	}
	return s.state == Up || now.Before(s.graceUntil)
}

// decided says whether the session has had its chance to come up: one
// detection time at the slow rate.
func (s *session) decided(now time.Time) bool {
	return now.Sub(s.created) >= s.slowDetectionTime()
}

// overdue says that a control packet is overdue, well before the session fails.
func (s *session) overdue(now time.Time) bool {
	return s.state == Up && now.Sub(s.lastControl) > max(s.interval, s.remoteTx)*3/2
}

// jittered is an interval with jitter: 75 to 100 %, or to 90 % when a single
// lost packet counts as failure (RFC 5880 section 6.8.7).
func jittered(interval time.Duration, multiplier uint8, jitter float64) time.Duration {
	width := 0.25
	if multiplier == 1 {
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
