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
	// writers is how many requests of this process are under way at once.
	writers = 16
	// loadTimeout is for all of the load, which is thousands of writes.
	loadTimeout = 3 * time.Minute
)

// The load's endpoints are addresses of the nodes' pods, since no others are
// announced: each service has some of them, as pods are behind several services.
const (
	firstAddress = 4   // of the exporting cluster's pods, which are more than 500
	addresses    = 500 // from there on
	burstOffset  = 250 // by which the burst changes all
)

// slice is what one hand-written EndpointSlice of the load holds.
type slice struct {
	number    int
	addresses []netip.Addr
}

// loadSlices gives the slices of some services with some endpoints each, of which none
// stays when it is shifted.
func loadSlices(pods netip.Addr, services, endpoints, shift int) []slice {
	network := pods.As4()
	list := make([]slice, services)
	for i := range list {
		list[i].number = i
		for j := range endpoints {
			at := firstAddress + (i*endpoints+j+shift)%addresses
			list[i].addresses = append(list[i].addresses, netip.AddrFrom4([4]byte{network[0], network[1], byte(at >> 8), byte(at)}))
		}
	}
	return list
}

func (b *Bench) podNetwork() netip.Addr { return b.east.Options().PodCIDRs[0].Addr() }

// measureLoad makes services without pods, so that kubelet limits nothing,
// exports them, and waits until the other cluster has all endpoints, and the own
// one too, which imports what it exports.
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
	begun := time.Now()
	if err := forEach(ctx, list, b.createLoadService); err != nil {
		return err
	}
	b.logf("%d services with %d endpoints made and exported in %.1f s", len(list), len(list)*b.cfg.Endpoints, time.Since(begun).Seconds())
	last, err := there.await(ctx, imported(list)...)
	if err != nil {
		return err
	}
	r.addExtra("load_imported_s", last.Sub(begun).Seconds())
	b.logf("all imported after %.1f s", last.Sub(begun).Seconds())
	_, err = here.await(ctx, imported(list)...)
	return err
}

// measureBurst: from before the first of many EndpointSlices is changed until
// the last new address is seen in the other cluster.
func (b *Bench) measureBurst(ctx context.Context, r *Result) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	there, err := b.west.watch(ctx)
	if err != nil {
		return err
	}
	defer there.close()
	list := loadSlices(b.podNetwork(), b.cfg.Burst/b.cfg.Endpoints, b.cfg.Endpoints, burstOffset)
	begun := time.Now()
	if err := forEach(ctx, list, b.updateSlice); err != nil {
		return err
	}
	sent := time.Since(begun)
	last, err := there.await(ctx, imported(list)...)
	if err != nil {
		return err
	}
	r.Burst5000 = rounded(last.Sub(begun).Seconds())
	r.addExtra("burst_sent_s", sent.Seconds())
	b.logf("%d endpoints changed in %.1f s, seen in the other cluster after %.1f s", b.cfg.Burst, sent.Seconds(), last.Sub(begun).Seconds())
	return nil
}

func imported(list []slice) []string {
	var facts []string
	for _, s := range list {
		for _, a := range s.addresses {
			facts = append(facts, "imported "+s.name()+" "+a.String())
		}
	}
	return facts
}

// forEach does something for all, several at a time.
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
		return fmt.Errorf("make service: %w", err)
	}
	if _, err := b.east.core.DiscoveryV1().EndpointSlices(namespace).Create(ctx, s.object(), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make EndpointSlice: %w", err)
	}
	return b.east.export(ctx, s.name())
}

func (b *Bench) updateSlice(ctx context.Context, s slice) error {
	if _, err := b.east.core.DiscoveryV1().EndpointSlices(namespace).Update(ctx, s.object(), metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("change EndpointSlice: %w", err)
	}
	return nil
}

// object is the EndpointSlice; without a resource version it replaces what there is.
func (s slice) object() *discoveryv1.EndpointSlice {
	port, protocol, name, ready := int32(8080), corev1.ProtocolTCP, "http", true
	made := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: s.name(), Labels: map[string]string{
			discoveryv1.LabelServiceName: s.name(), discoveryv1.LabelManagedBy: "bench.meshway.io",
		}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Protocol: &protocol, Port: &port}},
	}
	for _, a := range s.addresses {
		made.Endpoints = append(made.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{a.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return made
}
