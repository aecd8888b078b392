package membership

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/member"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/problemlog"
	"github.com/meshway/meshway/consensus"
)

const (
	// saveTimeout bounds one write of the shared state.
	saveTimeout = 10 * time.Second
	// problemGrace is how long reading or writing the shared state fails before
	// the status reports it.
	problemGrace = 30 * time.Second
)

// errForeignState means that the other gateways are members of another
// federation, or have another CA.
var errForeignState = errors.New("the other gateways of this datacenter are in another federation or have another CA")

// sharedState reads and writes what the gateways of this datacenter share.
type sharedState struct {
	file      config.Config
	siblings  Siblings // nil: this gateway is the only one of its datacenter
	admission *member.Admission
	log       *slog.Logger
	published func()                       // called when problem changes
	problem   atomic.Pointer[plan.Problem] // why the shared state is not up to date
}

func newSharedState(file config.Config, siblings Siblings, admission *member.Admission, log *slog.Logger, published func()) *sharedState {
	return &sharedState{file: file, siblings: siblings, admission: admission, log: log, published: published}
}

// publish writes what the catalog contains now, if that differs. A leader confirms
// the local copy first: an outdated copy would undo what others wrote.
func (s *sharedState) publish(ctx context.Context, r *running) error {
	have, err := s.siblings.Current()
	if err != nil {
		return err
	}
	if m := have.Membership; m != nil && m.FederationID != r.membership.FederationID || !have.Key.IsZero() && !s.sameCA(have) {
		return errForeignState
	}
	if want, ok, err := r.member.SharedState(); err != nil || !ok || have.Equal(keepStored(have, want)) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if _, _, err := r.member.Read(ctx, consensus.LeaseRead); err != nil {
		return nil //nolint:nilerr // without a leader nothing is written; the status reports that already
	}
	want, ok, err := r.member.SharedState()
	if err != nil || !ok {
		return err
	}
	want = keepStored(have, want)
	if have.Equal(want) {
		return nil
	}
	if err := s.siblings.Save(ctx, want); err != nil && !errors.Is(err, identity.ErrOutdated) {
		return err
	}
	return nil // if another gateway wrote, the next pass compares with that
}

// keepStored returns want with the parts of have that the catalog does not
// determine.
func keepStored(have, want identity.SharedState) identity.SharedState {
	want.Version = have.Version
	switch {
	case have.NextKey.Equal(want.Key): // it is the CA of the datacenter now
	case len(have.Certificate) > 0:
		want.Certificate = have.Certificate // it may have been signed again with the same key
		want.NextCert, want.NextKey = have.NextCert, have.NextKey
	}
	return want
}

func (s *sharedState) sameCA(have identity.SharedState) bool {
	_, key, err := s.admission.Authority()
	return err == nil && (key.Equal(have.Key) || key.Equal(have.NextKey))
}

// setProblem reports err, which has persisted since a time, in the status; nil
// removes the report.
func (s *sharedState) setProblem(err error, since, now time.Time) {
	if err == nil {
		if s.problem.Swap(nil) != nil {
			s.published()
		}
		return
	}
	if !errors.Is(err, errForeignState) && now.Sub(since) < problemGrace {
		return
	}
	problem := sharedStateProblem(err)
	if before := s.problem.Swap(&problem); before == nil || *before != problem {
		problemlog.Write(s.log, slog.LevelWarn, problem)
	}
	s.published()
}

func sharedStateProblem(err error) plan.Problem {
	if errors.Is(err, errForeignState) {
		return plan.Problem{
			Code:     "siblings-differ",
			Severity: plan.Error,
			Subject:  "kubernetes.identitySecret",
			Message:  "this gateway cannot use the shared state of its datacenter: " + err.Error(),
			Remedy:   "run meshctl leave --force on the gateways that are in the wrong federation",
		}
	}
	return plan.Problem{
		Code:     "siblings-unknown",
		Severity: plan.Warning,
		Subject:  "kubernetes.identitySecret",
		Message:  "this gateway cannot read or write the shared state of its datacenter: " + err.Error(),
		Remedy:   "check that the API server is reachable, that the chart's Secret exists and that the service account may get, watch and update it; traffic is not affected",
	}
}
