package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// fields is what the CRDs of a cluster keep of what is written. An API server drops
// all else without an error, so that it would be written again for ever. The
// releases of the API have added them one by one.
type fields struct {
	ips                int  // that ServiceImport.spec.ips may have: 1 up to v0.1
	ipFamilies         bool // this and the following of ServiceImport: since v0.4
	trafficPolicies    bool // internalTrafficPolicy and trafficDistribution
	endpointSlices     bool // status.endpointSliceObjects
	importConditions   bool
	observedGeneration bool // of the conditions of ServiceExport: since v0.2
}

const maxIPs = 2 // one of each family

func allFields() fields {
	return fields{
		ips: maxIPs, ipFamilies: true, trafficPolicies: true, endpointSlices: true, importConditions: true, observedGeneration: true,
	}
}

// ofImport leaves out of i what would be dropped or refused. Of two addresses the
// first stays: that of the family which the cluster prefers.
func (f fields) ofImport(i *mcsv1.ServiceImport) {
	i.Spec.IPs = i.Spec.IPs[:min(len(i.Spec.IPs), f.ips)]
	if !f.ipFamilies {
		i.Spec.IPFamilies = nil
	}
	if !f.trafficPolicies {
		i.Spec.InternalTrafficPolicy, i.Spec.TrafficDistribution = nil, nil
	}
	if !f.endpointSlices {
		i.Status.EndpointSliceObjects = ""
	}
	if !f.importConditions {
		i.Status.Conditions = nil
	}
}

// ofConditions leaves out of a ServiceExport's conditions what would be dropped.
func (f fields) ofConditions(conditions []metav1.Condition) {
	for i := range conditions {
		if !f.observedGeneration {
			conditions[i].ObservedGeneration = 0
		}
	}
}

// lost names what f does not keep, for the log.
func (f fields) lost() string {
	var list []string
	if f.ips < maxIPs {
		list = append(list, "second address")
	}
	for name, kept := range map[string]bool{
		"ipFamilies": f.ipFamilies, "traffic policies": f.trafficPolicies, "endpointSliceObjects": f.endpointSlices,
		"conditions of ServiceImport": f.importConditions, "observedGeneration": f.observedGeneration,
	} {
		if !kept {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// described reads from the API server's own description (OpenAPI v3) what it
// keeps of a version. What is not described yet is taken to keep everything: it
// is asked again.
func described(ctx context.Context, client discovery.DiscoveryInterfaceWithContext, version schema.GroupVersion) (fields, error) {
	paths, err := client.OpenAPIV3WithContext(ctx).PathsWithContext(ctx)
	if err != nil {
		return fields{}, fmt.Errorf("read what the API server describes: %w", err)
	}
	path, ok := paths["apis/"+version.String()]
	if !ok {
		return allFields(), nil
	}
	text, err := path.SchemaWithContext(ctx, runtime.ContentTypeJSON)
	if err != nil {
		return fields{}, fmt.Errorf("read the fields of %s: %w", version, err)
	}
	var document struct {
		Components struct {
			Schemas map[string]node `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return fields{}, fmt.Errorf("read the fields of %s: %w", version, err)
	}
	found := allFields()
	for _, n := range document.Components.Schemas {
		switch {
		case n.is(version.WithKind(mcsv1.ServiceImportKindName)):
			found.readImport(n)
		case n.is(version.WithKind(mcsv1.ServiceExportKindName)):
			found.observedGeneration = n.has("status", "conditions", "observedGeneration")
		}
	}
	return found, nil
}

func (f *fields) readImport(n node) {
	f.ips = n.at("spec", "ips").atMost(maxIPs)
	f.ipFamilies = n.has("spec", "ipFamilies")
	f.trafficPolicies = n.has("spec", "internalTrafficPolicy") && n.has("spec", "trafficDistribution")
	f.endpointSlices = n.has("status", "endpointSliceObjects")
	f.importConditions = n.has("status", "conditions")
}

// node is what is read of an OpenAPI schema.
type node struct {
	Kinds      []schema.GroupVersionKind `json:"x-kubernetes-group-version-kind"`
	Properties map[string]*node          `json:"properties"`
	Items      *node                     `json:"items"`
	MaxItems   *int                      `json:"maxItems"`
	Unknown    bool                      `json:"x-kubernetes-preserve-unknown-fields"`
}

func (n *node) is(kind schema.GroupVersionKind) bool { return slices.Contains(n.Kinds, kind) }

func (n *node) has(path ...string) bool { return n.at(path...) != nil }

// at finds a field, also of a list's items; nil: it is not kept.
func (n *node) at(path ...string) *node {
	for _, name := range path {
		if n.Items != nil {
			n = n.Items
		}
		next, ok := n.Properties[name]
		if !ok && n.Unknown {
			return &node{Unknown: true}
		}
		if !ok || next == nil {
			return nil
		}
		n = next
	}
	return n
}

// atMost gives how many items a list may have, of those that are wanted.
func (n *node) atMost(wanted int) int {
	switch {
	case n == nil:
		return 0
	case n.MaxItems != nil:
		return min(*n.MaxItems, wanted)
	}
	return wanted
}
