package registrar

import (
	"context"
	"fmt"
	"hash/maphash"

	"golang.org/x/sync/semaphore"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// CodeNotOwner is the code of the refusal of a conditional write of an instance that
// another gateway registered.
const CodeNotOwner = "instance-of-another-gateway"

// CodeConfigured is the code of the refusal to deregister a service of the configuration
// file, which would be registered again at once.
const CodeConfigured = "instance-of-the-configuration"

// CodeQueued is the code of the refusal of a conditional write of an instance of which an
// unconditional one is not in the catalog yet.
const CodeQueued = "instance-queued"

// ConflictError reports that an instance has changed since the index of a conditional
// write, which changed nothing.
type ConflictError struct {
	Key      catalog.ServiceKey
	Expected uint64
	Index    uint64 // of its last change; 0: it does not exist
}

// Error names the instance and both indexes.
func (e *ConflictError) Error() string {
	what := fmt.Sprintf("instance %s of service %s/%s", e.Key.Instance, e.Key.Namespace, e.Key.Name)
	switch {
	case e.Index == 0:
		return what + " does not exist"
	case e.Expected == 0:
		return fmt.Sprintf("%s exists, last changed at index %d", what, e.Index)
	}
	return fmt.Sprintf("%s was last changed at index %d, not %d", what, e.Index, e.Expected)
}

// sections keeps conditional writes apart from all other writes of the same service. It
// needs no more memory for more services. It has no mutexes because a section is held
// over round trips.
type sections struct {
	seed maphash.Seed
	all  [64]*semaphore.Weighted
}

// The parts of a section that a write holds: several writes, or one conditional write.
const (
	shared = 1
	alone  = 1 << 20
)

func newSections() *sections {
	s := &sections{seed: maphash.MakeSeed()}
	for i := range s.all {
		s.all[i] = semaphore.NewWeighted(alone)
	}
	return s
}

// enter waits until a part of the section of a service is free. The caller leaves it
// with leave.
func (s *sections) enter(ctx context.Context, namespace, name string, part int64) (leave func(), err error) {
	section := s.all[maphash.Comparable(s.seed, catalog.ServiceName{Namespace: namespace, Name: name})%uint64(len(s.all))]
	if err := section.Acquire(ctx, part); err != nil {
		return nil, err
	}
	return func() { section.Release(part) }, nil
}

// RegisterIf registers a service if its instance was last changed at index; 0 means that
// it must not exist. It returns the index of the write. Nothing is queued: after an
// error, nothing has changed, or what has changed is reverted. The error is a
// *ConflictError if the instance has changed.
//
// An instance belongs to the gateway that registered it, which decides: gateways of one
// datacenter that create the same instance at the same time are not kept apart.
func (r *Registrar) RegisterIf(ctx context.Context, service catalog.Service, index uint64) (uint64, error) {
	service = r.complete(service)
	put := catalog.NewPutServices([]catalog.Service{service})
	return r.writeIf(ctx, service.ServiceKey, index, put, func(e *edit) { e.put(service) })
}

// DeregisterIf removes an instance that was last changed at index, as RegisterIf
// registers one.
func (r *Registrar) DeregisterIf(ctx context.Context, key catalog.ServiceKey, index uint64) error {
	key = r.complete(catalog.Service{ServiceKey: key}).ServiceKey
	if _, found := r.static[key]; found {
		return &catalog.Refusal{
			Code: CodeConfigured, Field: "instance",
			Message: fmt.Sprintf("instance %s of service %s/%s is in the configuration file of gateway %s", key.Instance, key.Namespace, key.Name, r.cfg.File.GatewayID()),
			Remedy:  "remove it from the configuration file, and restart meshd",
		}
	}
	remove := catalog.NewDeleteServices([]catalog.ServiceKey{key})
	_, err := r.writeIf(ctx, key, index, remove, func(e *edit) { e.remove(key) })
	return err
}

// writeIf writes to the catalog first and then to the store: until both are done, the
// key is one that a caller writes.
func (r *Registrar) writeIf(ctx context.Context, key catalog.ServiceKey, index uint64, command *catalogpb.Command, change func(*edit)) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, ProposeTimeout)
	defer cancel()
	leave, err := r.sections.enter(ctx, key.Namespace, key.Name, alone)
	if err != nil {
		return 0, err
	}
	defer leave()
	end := r.beginWrite(key)
	defer r.compare() // what was written but not stored is reverted
	defer end()
	select { // a pass that began before may write the key
	case r.passing <- struct{}{}:
		<-r.passing
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	view, _, err := r.cfg.Catalog.Read(ctx, consensus.ConsistentRead)
	if err != nil {
		return 0, err
	}
	if err := r.checkUnchanged(view, key, index); err != nil {
		return 0, err
	}
	result, err := catalog.One(r.cfg.Catalog.Propose(ctx, command))
	if err != nil {
		return 0, err
	}
	return result.Index, r.save(ctx, change)
}

func (r *Registrar) checkUnchanged(view *replica.View, key catalog.ServiceKey, index uint64) error {
	have, found := instance(view, key)
	if have.ModifiedIndex != index {
		return &ConflictError{Key: key, Expected: index, Index: have.ModifiedIndex}
	}
	if found && have.Owner != r.cfg.File.GatewayID() {
		return &catalog.Refusal{
			Code: CodeNotOwner, Field: "instance",
			Message: fmt.Sprintf("gateway %s registered instance %s of service %s/%s", have.Owner, key.Instance, key.Namespace, key.Name),
			Remedy:  fmt.Sprintf("send the conditional write to meshd of gateway %s", have.Owner),
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if want, wanted := r.want.Services[key]; wanted == found && (!found || sameService(want, have)) {
		return nil
	}
	return &catalog.Refusal{
		Code: CodeQueued, Field: "instance",
		Message: fmt.Sprintf("an earlier write of instance %s of service %s/%s is queued: the catalog does not have it yet", key.Instance, key.Namespace, key.Name),
		Remedy:  "try again when the catalog has a leader",
	}
}

// instance returns the record of an instance, false if there is none.
func instance(view *replica.View, key catalog.ServiceKey) (catalog.Service, bool) {
	for _, s := range view.Services(replica.ServiceFilter{Datacenter: key.Datacenter, Namespace: key.Namespace, Name: key.Name}) {
		if s.ServiceKey == key {
			return s, true
		}
	}
	return catalog.Service{}, false
}

// Instance returns the record of a service that was registered, with the names that the
// registration left out; false if the catalog does not have it yet.
func (r *Registrar) Instance(service catalog.Service) (catalog.Service, bool) {
	service = r.complete(service)
	if have, found := instance(r.cfg.Catalog.View(), service.ServiceKey); found && sameService(have, service) {
		return have, true
	}
	return service, false
}
