package agent

import (
	"context"
	"errors"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// tendInterval is how often is looked at what nobody tells of.
	tendInterval = 5 * time.Second
	// silenceGrace is how long a gateway hears no leader before it asks whether it
	// was removed.
	silenceGrace = 15 * time.Second
	// goneGrace is how long a host is no gateway before the others remove it.
	goneGrace = time.Minute
	// worryGrace is how long what the gateways have in common cannot be read or
	// written before the status says so.
	worryGrace = 30 * time.Second
	// tryPause is after the first attempt to become a member; then it doubles.
	// tryPauseMax is short, so that a token that comes late is used soon.
	tryPause, tryPauseMax = time.Second, 10 * time.Second
)

// tender does what nobody has to be told: become a member when the datacenter is
// one or the configuration has a token, keep what the gateways have in common
// true, and remove gateways that are gone. One goroutine owns it.
type tender struct {
	*Agent
	joined  bool                 // has been a member: the token has done its work
	refused string               // the token that would be refused again
	pause   time.Duration        // until the next attempt to become a member
	silent  time.Time            // since when no leader is heard; zero: one is
	gone    map[string]time.Time // since when a gateway's host is none
	worry   time.Time            // since when common cannot be read or written
	alone   time.Time            // since when it is cut off from the federation; zero: it is not
	asked   time.Time            // when it was last asked whether the datacenter was removed
}

// tend works from when it is known whether there is a membership until ctx ends.
func (a *Agent) tend(ctx context.Context, opened <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-opened:
	}
	t := &tender{Agent: a, gone: map[string]time.Time{}}
	for ctx.Err() == nil && !a.retired.Load() {
		siblings, catalogs := a.news()
		pause := t.look(ctx)
		select {
		case <-ctx.Done():
		case <-siblings:
		case <-catalogs:
		case <-a.tending:
		case <-time.After(pause):
		}
	}
}

// news is closed at the next change of what the gateways have in common, or
// should have.
func (a *Agent) news() (siblings, catalogs <-chan struct{}) {
	if a.deps.Siblings == nil {
		return nil, nil
	}
	if m := a.member.Load(); m != nil {
		catalogs = m.federation.Changed()
	}
	return a.deps.Siblings.Changed(), catalogs
}

// look does what is to be done now, and returns how long the next look may wait.
func (t *tender) look(ctx context.Context) time.Duration {
	if m := t.member.Load(); m != nil {
		t.joined, t.pause = true, 0
		t.nothingHinders()
		t.lookForExpulsion(ctx, m)
		if t.deps.Siblings == nil {
			return tendInterval
		}
		t.keepUp(ctx, m)
		return tendInterval
	}
	t.silent, t.alone = time.Time{}, time.Time{}
	if t.become(ctx) {
		t.pause = 0
		return tendInterval
	}
	t.pause = min(max(2*t.pause, tryPause), tryPauseMax)
	return t.pause
}

// become makes this gateway a member if there is a way. It returns false when
// that is to be tried again.
func (t *tender) become(ctx context.Context) bool {
	common := Common{}
	if t.deps.Siblings != nil {
		var err error
		common, err = t.deps.Siblings.Current()
		t.worryAbout(err)
		if err != nil {
			return false
		}
	}
	switch {
	case common.claimedByOther(t.deps.Config.Gateway, time.Now()):
		return false // it may be taking the datacenter out
	case common.Standing != nil:
		return t.enrol(ctx, common)
	case t.deps.Token != nil && !t.joined:
		t.refused = t.tryToken(ctx, t.refused)
		return t.member.Load() != nil
	}
	t.nothingHinders()
	return true
}

func (t *tender) nothingHinders() {
	if t.joining.Swap(nil) != nil {
		t.published.Up()
	}
}

// enrol makes this gateway one of its datacenter, which is a member.
func (t *tender) enrol(ctx context.Context, common Common) bool {
	if !t.lifecycle.TryLock() {
		return false
	}
	defer t.lifecycle.Unlock()
	if t.member.Load() != nil {
		return true
	}
	candidate, err := t.candidate(ctx)
	if err == nil {
		err = t.change(ctx, status.Joining, func() error {
			return t.deps.Federations.Enrol(ctx, common, candidate, func(step, message string) { t.deps.Log.Info(message, "step", step) })
		})
	}
	if err != nil && ctx.Err() == nil {
		t.notJoining(enrolProblem(err))
	}
	return err == nil
}

func enrolProblem(err error) plan.Problem {
	p := plan.Problem{
		Code: "enrolment-failed", Severity: plan.Error, Subject: "gateway",
		Message: "this gateway cannot become a member, though its datacenter is one: " + err.Error(), Remedy: "the agent tries again by itself",
	}
	if refusal := (*catalog.Refusal)(nil); errors.As(err, &refusal) {
		p.Remedy += "; " + refusal.Remedy
	}
	return p
}
