//go:build linux

package bench

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// writers is the maximum number of concurrent requests of this process.
	writers = 16
	// loadTimeout bounds the measurement of the load, which has thousands of writes.
	loadTimeout = 3 * time.Minute
)

// The endpoints of the load are addresses of the exporting cluster's pod network,
// because only these are announced. Services share addresses, as pods may be
// endpoints of several services.
const (
	firstAddress = 4   // offset of the first address in the pod network
	addresses    = 500 // number of addresses
	burstOffset  = 250 // offset by which the burst changes each address
)

// slice is an EndpointSlice of a service of the load.
type slice struct {
	number    int // of the service
	addresses []netip.Addr
}

// loadSlices returns the slices of the given number of services with the given
// number of endpoints each. With an offset of burstOffset, each slice has other
// addresses than without.
func loadSlices(pods netip.Addr, services, endpoints, offset int) []slice {
	network := pods.As4()
	list := make([]slice, services)
	for i := range list {
		list[i].number = i
		for j := range endpoints {
			at := firstAddress + (i*endpoints+j+offset)%addresses
			list[i].addresses = append(list[i].addresses, netip.AddrFrom4([4]byte{network[0], network[1], byte(at >> 8), byte(at)}))
		}
	}
	return list
}

func (b *Bench) podNetwork() netip.Addr { return b.east.Options().PodCIDRs[0].Addr() }

// measureLoad creates and exports services, and waits until both clusters have
// imported all endpoints. The services have no pods, because kubelet limits their
// number.
func (b *Bench) measureLoad(ctx context.Context, r *Result) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	here, err := b.east.watch(ctx)
	if err != nil {
		return err
	}
	defer here.close()
	there, err := b.west.watch(ctx)
	if err != nil {
		return err
	}
	defer there.close()
	list := loadSlices(b.podNetwork(), b.cfg.Services, b.cfg.Endpoints, 0)
	started := time.Now()
	if err := forEach(ctx, list, b.createLoadService); err != nil {
		return err
	}
	b.logf("created and exported %d services with %d endpoints in %.1f s", len(list), len(list)*b.cfg.Endpoints, time.Since(started).Seconds())
	last, err := there.await(ctx, imported(list)...)
	if err != nil {
		return err
	}
	r.addExtra("load_imported_s", last.Sub(started).Seconds())
	b.logf("all endpoints imported after %.1f s", last.Sub(started).Seconds())
	_, err = here.await(ctx, imported(list)...)
	return err
}

// measureBurst measures the time from the first of many updates of EndpointSlices
// until the other cluster has imported the last new address.
func (b *Bench) measureBurst(ctx context.Context, r *Result) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	there, err := b.west.watch(ctx)
	if err != nil {
		return err
	}
	defer there.close()
	list := loadSlices(b.podNetwork(), b.cfg.Burst/b.cfg.Endpoints, b.cfg.Endpoints, burstOffset)
	started := time.Now()
	if err := forEach(ctx, list, b.updateSlice); err != nil {
		return err
	}
	sent := time.Since(started)
	last, err := there.await(ctx, imported(list)...)
	if err != nil {
		return err
	}
	r.Burst5000 = rounded(last.Sub(started).Seconds())
	r.addExtra("burst_sent_s", sent.Seconds())
	b.logf("changed %d endpoints in %.1f s, all imported after %.1f s", b.cfg.Burst, sent.Seconds(), last.Sub(started).Seconds())
	return nil
}

// imported returns the facts of a watcher for the imported addresses of slices.
func imported(list []slice) []string {
	var facts []string
	for _, s := range list {
		for _, a := range s.addresses {
			facts = append(facts, "imported "+s.name()+" "+a.String())
		}
	}
	return facts
}

// forEach calls do for all slices, with up to writers calls at a time.
func forEach(ctx context.Context, list []slice, do func(context.Context, slice) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for _, s := range list {
		group.Go(func() error { return do(ctx, s) })
	}
	return group.Wait()
}

func (s slice) name() string { return fmt.Sprintf("load-%04d", s.number) }

func (b *Bench) createLoadService(ctx context.Context, s slice) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: s.name()},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
	if _, err := b.east.core.CoreV1().Services(namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create service: %w", err)
	}
	if _, err := b.east.core.DiscoveryV1().EndpointSlices(namespace).Create(ctx, s.object(), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create EndpointSlice: %w", err)
	}
	return b.east.export(ctx, s.name())
}

func (b *Bench) updateSlice(ctx context.Context, s slice) error {
	if _, err := b.east.core.DiscoveryV1().EndpointSlices(namespace).Update(ctx, s.object(), metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update EndpointSlice: %w", err)
	}
	return nil
}

// object returns the EndpointSlice. It has no resource version, so that an update
// replaces any version.
func (s slice) object() *discoveryv1.EndpointSlice {
	port, protocol, name, ready := int32(8080), corev1.ProtocolTCP, "http", true
	object := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: s.name(), Labels: map[string]string{
			discoveryv1.LabelServiceName: s.name(), discoveryv1.LabelManagedBy: "bench.meshway.io",
		}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Protocol: &protocol, Port: &port}},
	}
	for _, a := range s.addresses {
		object.Endpoints = append(object.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{a.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return object
}
