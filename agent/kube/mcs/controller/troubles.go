package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// patience is how long something fails before the operator is told: most
	// failures are lost races, and the next try succeeds.
	patience = 5 * time.Second
	// silence is after how long what has not failed again works: the reflectors of
	// client-go, which tell failures only, try again within 60 s.
	silence = 75 * time.Second
	// maxErrorText bounds what an API server can have us show.
	maxErrorText = 400
)

// troubles remembers what keeps services waiting, until it succeeds.
type troubles struct {
	log *slog.Logger

	mu    sync.Mutex                       // guards all following fields
	api   map[string]failure               // by what is asked of the API server
	names map[catalog.ServiceName]*failure // that are being written, or wait for the next try
}

type failure struct {
	since, last time.Time
	fades       bool  // nobody tells its end: it is over after silence
	err         error // nil: no answer yet
}

func newTroubles(log *slog.Logger) *troubles {
	return &troubles{log: log, api: make(map[string]failure), names: make(map[catalog.ServiceName]*failure)}
}

// fail says that the API server did not do something, whose success is told too.
func (t *troubles) fail(what string, err error) { t.note(what, err, false) }

// failWatch says that a watch has ended. Its next success is told by nobody.
func (t *troubles) failWatch(what string, err error) {
	expired := apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
	if expired || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled) {
		return // as watches do
	}
	t.note(watching+what, err, true)
}

const watching = "watch "

func (t *troubles) note(what string, err error, fades bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	f, known := t.api[what]
	if !known || f.over(now) {
		f = failure{since: now}
	}
	if f.err == nil || f.err.Error() != err.Error() {
		t.log.Warn("multi-cluster services wait", "for", what, "err", err)
	}
	f.last, f.fades, f.err = now, fades, err
	t.api[what] = f
}

func (t *troubles) succeed(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.api, what)
}

// watched says that all that is watched has been read.
func (t *troubles) watched() {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.api, func(what string, _ failure) bool { return strings.HasPrefix(what, watching) })
}

// begin says that a name is being written. A name that waits keeps since when.
func (t *troubles) begin(name catalog.ServiceName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.names[name] == nil {
		now := time.Now()
		t.names[name] = &failure{since: now, last: now}
	}
}

// end says how it went.
func (t *troubles) end(name catalog.ServiceName, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.names[name]; f != nil && err != nil {
		f.last, f.err = time.Now(), err
		return
	}
	delete(t.names, name)
}

// resign forgets the names: another gateway writes them.
func (t *troubles) resign() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.names)
}

// problems are what an operator should know at this time: at most one line for
// what is asked of the API server, and one for all names.
func (t *troubles) problems(now time.Time) []plan.Problem {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append(t.ofAPI(now), t.ofNames(now)...)
}

func (t *troubles) ofAPI(now time.Time) []plan.Problem {
	var texts []string
	var errs []error
	for _, what := range slices.Sorted(maps.Keys(t.api)) {
		if f := t.api[what]; f.lasts(now) {
			texts, errs = append(texts, what+": "+oneLine(f.err)), append(errs, f.err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return []plan.Problem{waiting("multi-cluster services", strings.Join(texts, "; "), errors.Join(errs...))}
}

func (t *troubles) ofNames(now time.Time) []plan.Problem {
	var count int
	var newest catalog.ServiceName
	for _, name := range slices.SortedFunc(maps.Keys(t.names), compareNames) {
		f := t.names[name]
		if !f.lasts(now) {
			continue
		}
		if count++; count == 1 || f.last.After(t.names[newest].last) {
			newest = name
		}
	}
	if count == 0 {
		return nil
	}
	err := t.names[newest].err
	subject := "1 service waits"
	if count > 1 {
		subject = fmt.Sprintf("%d services wait", count)
	}
	return []plan.Problem{waiting(subject, fmt.Sprintf("such as %s/%s: %s", newest.Namespace, newest.Name, oneLine(err)), err)}
}

// over: a failure that fades has not come again.
func (f failure) over(now time.Time) bool { return f.fades && now.Sub(f.last) >= silence }

func (f failure) lasts(now time.Time) bool { return now.Sub(f.since) >= patience && !f.over(now) }

func compareNames(a, b catalog.ServiceName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func waiting(subject, message string, err error) plan.Problem {
	p := plan.Problem{Code: "services-wait", Severity: plan.Error, Subject: subject, Message: message}
	switch {
	case errors.Is(err, errForeign):
		p.Remedy = "rename or delete the Service that has the name; the others go on"
	case errors.Is(err, errCRDs):
		p.Remedy = "kubectl apply -f deploy/chart/meshway/crds: helm upgrade changes no CRDs; it goes on by itself"
	case apierrors.IsForbidden(err):
		p.Remedy = "grant the ClusterRole and the Role of the chart; it goes on by itself"
	default:
		p.Remedy = "see that the API server answers; it goes on by itself"
	}
	return p
}

// oneLine gives the first of several joined errors.
func oneLine(err error) string {
	if err == nil {
		return "the API server has not answered yet"
	}
	first, _, more := strings.Cut(err.Error(), "\n")
	if len(first) > maxErrorText {
		first = strings.ToValidUTF8(first[:maxErrorText], "") + "…"
	}
	if more {
		first += "; and more"
	}
	return first
}

// candidate is the Lease, and tells when it cannot be had. client-go only logs.
type candidate struct {
	resourcelock.Interface
	troubles *troubles
}

const readLease, writeLease = "read Lease " + LeaseName, "write Lease " + LeaseName

// Get implements resourcelock.Interface.
func (c candidate) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := c.Interface.Get(ctx)
	switch {
	case err == nil || apierrors.IsNotFound(err):
		c.troubles.succeed(readLease)
	case !errors.Is(ctx.Err(), context.Canceled):
		c.troubles.fail(readLease, err)
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (c candidate) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return c.wrote(ctx, c.Interface.Create(ctx, record))
}

// Update implements resourcelock.Interface.
func (c candidate) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return c.wrote(ctx, c.Interface.Update(ctx, record))
}

// wrote: a write that is forbidden is not told to end when another gateway holds
// the Lease, so its failure fades.
func (c candidate) wrote(ctx context.Context, err error) error {
	switch {
	case err == nil || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
		c.troubles.succeed(writeLease)
	case !errors.Is(ctx.Err(), context.Canceled):
		c.troubles.note(writeLease, err, true)
	}
	return err
}
