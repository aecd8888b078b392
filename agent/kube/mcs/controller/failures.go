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
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus/catalog"
)

const (
	codeServicesWait = "services-wait"
	// reportDelay is how long a failure lasts before it is a problem: most failures
	// are conflicts of two writers, and the next try succeeds.
	reportDelay = 5 * time.Second
	// failureExpiry is how long a failure whose success is not recorded lasts after its
	// last occurrence. The reflectors of client-go report failures only, and retry
	// within 60 s.
	failureExpiry = 75 * time.Second
	// maxErrorText limits the text of an error of the API server.
	maxErrorText = 400
)

// failures records what fails until it succeeds: requests to the API server, by
// step, and writes of services, by name. Its methods are safe for concurrent use.
type failures struct {
	log    *slog.Logger
	writes atomic.Uint64 // of services that failed

	mu       sync.Mutex // guards all following fields
	steps    map[string]failure
	services map[catalog.ServiceName]*failure // being written, or waiting for the next try
}

type failure struct {
	since, last time.Time
	expires     bool  // its success is not recorded, so it is over after failureExpiry
	err         error // nil: no answer yet
}

func newFailures(log *slog.Logger) *failures {
	return &failures{log: log, steps: make(map[string]failure), services: make(map[catalog.ServiceName]*failure)}
}

// fail records the failure of a step. It lasts until succeed is called for the step.
func (f *failures) fail(step string, err error) { f.record(step, err, false) }

// failWatch records the failure of a watch. Its success is not recorded, so it
// expires. Errors with which watches end regularly are ignored.
func (f *failures) failWatch(resource string, err error) {
	expired := apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
	if expired || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled) {
		return
	}
	f.record(watchPrefix+resource, err, true)
}

const watchPrefix = "watch "

const readLease, writeLease = "read Lease " + LeaseName, "write Lease " + LeaseName

// LeaseRead implements election.Monitor.
func (f *failures) LeaseRead(err error) {
	if err != nil {
		f.fail(readLease, err)
		return
	}
	f.succeed(readLease)
}

// LeaseWritten implements election.Monitor. A failure expires: once another gateway
// holds the Lease, this one does not write it. The holder reads the Lease only after a
// failed write, so that a write also ends the failure of a read.
func (f *failures) LeaseWritten(err error) {
	if err != nil {
		f.record(writeLease, err, true)
		return
	}
	f.succeed(writeLease)
	f.succeed(readLease)
}

func (f *failures) record(step string, err error, expires bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	failed, known := f.steps[step]
	if !known || failed.expired(now) {
		failed = failure{since: now}
	}
	if failed.err == nil || failed.err.Error() != err.Error() {
		f.log.Warn("multi-cluster services wait for the API server", "step", step, "err", err)
	}
	failed.last, failed.expires, failed.err = now, expires, err
	f.steps[step] = failed
}

func (f *failures) succeed(step string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.steps, step)
}

// watchesSucceeded ends the failures of all watches.
func (f *failures) watchesSucceeded() {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.steps, func(step string, _ failure) bool { return strings.HasPrefix(step, watchPrefix) })
}

// begin records the start of writing a service. A failure of the service keeps its
// start time.
func (f *failures) begin(name catalog.ServiceName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.services[name] == nil {
		now := time.Now()
		f.services[name] = &failure{since: now, last: now}
	}
}

// end records the result of writing a service.
func (f *failures) end(name catalog.ServiceName, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && !apierrors.IsConflict(err) {
		f.writes.Add(1)
	}
	if failed := f.services[name]; failed != nil && err != nil {
		failed.last, failed.err = time.Now(), err
		return
	}
	delete(f.services, name)
}

// clearServices removes all services, when another gateway writes them.
func (f *failures) clearServices() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.services)
}

// problems returns at most one problem for all steps and one for all services.
func (f *failures) problems(now time.Time) []plan.Problem {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(f.stepProblems(now), f.serviceProblems(now)...)
}

func (f *failures) stepProblems(now time.Time) []plan.Problem {
	var texts []string
	var errs []error
	for _, step := range slices.Sorted(maps.Keys(f.steps)) {
		if failed := f.steps[step]; failed.reportable(now) {
			texts, errs = append(texts, step+": "+firstLine(failed.err)), append(errs, failed.err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	const subject = "multi-cluster services"
	return []plan.Problem{waitProblem(subject, subject+" wait for the API server: "+strings.Join(texts, "; "), errors.Join(errs...))}
}

func (f *failures) serviceProblems(now time.Time) []plan.Problem {
	var count int
	var newest catalog.ServiceName
	for _, name := range slices.SortedFunc(maps.Keys(f.services), compareNames) {
		failed := f.services[name]
		if !failed.reportable(now) {
			continue
		}
		if count++; count == 1 || failed.last.After(f.services[newest].last) {
			newest = name
		}
	}
	if count == 0 {
		return nil
	}
	err := f.services[newest].err
	subject, message := "1 service waits", "service "+serviceText(newest)+" waits"
	if count > 1 {
		subject = fmt.Sprintf("%d services wait", count)
		message = subject + ", such as " + serviceText(newest)
	}
	return []plan.Problem{waitProblem(subject, message+": "+firstLine(err), err)}
}

// expired reports whether a failure that expires has not been repeated.
func (f failure) expired(now time.Time) bool { return f.expires && now.Sub(f.last) >= failureExpiry }

func (f failure) reportable(now time.Time) bool {
	return now.Sub(f.since) >= reportDelay && !f.expired(now)
}

func compareNames(a, b catalog.ServiceName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func waitProblem(subject, message string, err error) plan.Problem {
	p := plan.Problem{Code: codeServicesWait, Severity: plan.Error, Subject: subject, Message: message}
	switch {
	case errors.Is(err, errNotManaged):
		p.Remedy = "rename or delete the Service that has the name; other services are not affected"
	case errors.Is(err, errNameTaken):
		p.Remedy = "export one of the two services under another name; other services are not affected"
	case errors.Is(err, errCRDs):
		p.Remedy = "run kubectl apply -f deploy/chart/meshway/crds, since helm upgrade does not change CRDs; no restart is needed"
	case apierrors.IsForbidden(err):
		p.Remedy = "grant the ClusterRole and the Role of the chart; no restart is needed"
	default:
		p.Remedy = "check that the API server answers; no restart is needed"
	}
	return p
}

// firstLine returns the first of several joined errors, limited to maxErrorText.
func firstLine(err error) string {
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
