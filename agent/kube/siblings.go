package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/agent/notify"
)

// SiblingsConfig configures Siblings.
type SiblingsConfig struct {
	Client            kubernetes.Interface
	Namespace, Secret string
	GatewayLabel      string                  // of gateway nodes, as key=value
	Gateways          func() ([]string, bool) // see Discovery.Gateways
	GatewaysChanged   func() <-chan struct{}  // closed at the next change of Gateways
	Log               *slog.Logger            // nil: discarded
}

// Siblings keeps the state that the gateways of the cluster share in a Secret. The
// chart creates the Secret; Siblings never does. It implements membership.Siblings.
type Siblings struct {
	cfg    SiblingsConfig
	secret *Source
	wake   notify.Signal
	latest notify.Latest[secretState]
}

// secretState is the last observation of the Secret and of the gateway nodes.
type secretState struct {
	shared   identity.SharedState
	object   *corev1.Secret // nil: the Secret cannot be used, see reason
	reason   string
	gateways []string // so that a change of the gateways is a change of the state
}

// NewSiblings returns siblings whose methods return an error until they run.
func NewSiblings(cfg SiblingsConfig) (*Siblings, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Siblings{cfg: cfg, wake: notify.NewSignal()}
	s.latest.Set(secretState{reason: "the API server has not answered yet"})
	informer := coreinformers.NewFilteredSecretInformer(cfg.Client, cfg.Namespace, 0, nil, named(cfg.Secret))
	var err error
	s.secret, err = NewSource(informer, nil, s.wake)
	return s, err
}

// Run watches until ctx ends.
func (s *Siblings) Run(ctx context.Context) error {
	defer s.secret.Start(ctx)()
	notify.Loop(ctx, func(context.Context) time.Duration {
		s.refresh()
		return 0
	}, s.cfg.GatewaysChanged, s.wake.Changed)
	return nil
}

func (s *Siblings) refresh() {
	seen := secretState{reason: s.latest.Get().reason}
	seen.gateways, _ = s.cfg.Gateways()
	if refusal := s.secret.Refusal(); refusal != nil {
		seen.reason = fmt.Sprintf("read %s: %v", s.name(), refusal)
	}
	if s.secret.Synced() {
		seen.reason = s.name() + " does not exist: run helm upgrade to recreate it"
		for _, object := range Items[*corev1.Secret](s.secret) {
			seen.object = object
		}
	}
	if seen.object != nil {
		var err error
		if seen.shared, err = decodeSecret(seen.object); err != nil {
			seen.object, seen.reason = nil, fmt.Sprintf("%s: %v", s.name(), err)
		}
	}
	s.latest.Set(seen)
}

func (s *Siblings) name() string { return fmt.Sprintf("secret %s/%s", s.cfg.Namespace, s.cfg.Secret) }

// Current implements membership.Siblings.
func (s *Siblings) Current() (identity.SharedState, error) {
	seen := s.latest.Get()
	if seen.object == nil {
		return identity.SharedState{}, errors.New(seen.reason)
	}
	return seen.shared, nil
}

// Changed implements membership.Siblings.
func (s *Siblings) Changed() <-chan struct{} { return s.latest.Changed() }

// Gateways implements membership.Siblings.
func (s *Siblings) Gateways() ([]string, bool) { return s.cfg.Gateways() }

// ReadGateways implements membership.Siblings.
func (s *Siblings) ReadGateways(ctx context.Context) ([]string, error) {
	nodes, err := s.cfg.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: s.cfg.GatewayLabel})
	if err != nil {
		return nil, fmt.Errorf("list gateway nodes: %w", err)
	}
	var names []string
	for _, n := range nodes.Items {
		names = append(names, config.GatewayOfNode(n.Name))
	}
	slices.Sort(names)
	return names, nil
}

// Save implements membership.Siblings. It waits until the watch has delivered the new
// content, so that Current does not return the old content after Save.
func (s *Siblings) Save(ctx context.Context, content identity.SharedState) error {
	seen := s.latest.Get()
	if seen.object == nil {
		return errors.New(seen.reason)
	}
	if seen.shared.Version != content.Version {
		return identity.ErrOutdated
	}
	next := seen.object.DeepCopy()
	if err := encodeSecret(content, next); err != nil {
		return err
	}
	written, err := s.cfg.Client.CoreV1().Secrets(s.cfg.Namespace).Update(ctx, next, metav1.UpdateOptions{})
	switch {
	case apierrors.IsConflict(err):
		return identity.ErrOutdated
	case err != nil:
		return fmt.Errorf("write %s: %w", s.name(), err)
	case written.ResourceVersion == content.Version:
		return nil // nothing differs
	}
	// If ctx ends before, the content is written, and the watch delivers it later.
	notify.LoopUntil(ctx, 0, func(context.Context) bool { return s.latest.Get().shared.Version != content.Version }, s.latest.Changed)
	return nil
}
