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

// fields lists the optional fields that the CRDs of a cluster have. An API server
// drops other fields without an error, so that they would be written at each
// reconciliation. The releases of the API have added the fields one by one.
type fields struct {
	ips                int  // maximum of ServiceImport.spec.ips: 1 up to v0.1
	ipFamilies         bool // this and the following of ServiceImport: since v0.4
	trafficPolicies    bool // internalTrafficPolicy and trafficDistribution
	endpointSlices     bool // status.endpointSliceObjects
	importConditions   bool
	observedGeneration bool // of the conditions of ServiceExport: since v0.2
}

const maxIPs = 2 // one for each family

func allFields() fields {
	return fields{
		ips:                maxIPs,
		ipFamilies:         true,
		trafficPolicies:    true,
		endpointSlices:     true,
		importConditions:   true,
		observedGeneration: true,
	}
}

// pruneImport removes the fields of i that would be dropped or refused. It keeps the
// first of two addresses, that of the family which the cluster prefers.
func (f fields) pruneImport(i *mcsv1.ServiceImport) {
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

// pruneConditions removes the fields of a ServiceExport's conditions that would be
// dropped.
func (f fields) pruneConditions(conditions []metav1.Condition) {
	for i := range conditions {
		if !f.observedGeneration {
			conditions[i].ObservedGeneration = 0
		}
	}
}

// dropped lists the fields that the CRDs do not have, for the log.
func (f fields) dropped() string {
	var list []string
	if f.ips < maxIPs {
		list = append(list, "second address")
	}
	for name, kept := range map[string]bool{
		"ipFamilies":                  f.ipFamilies,
		"traffic policies":            f.trafficPolicies,
		"endpointSliceObjects":        f.endpointSlices,
		"conditions of ServiceImport": f.importConditions,
		"observedGeneration":          f.observedGeneration,
	} {
		if !kept {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// readFields reads the fields of a version from the OpenAPI v3 documents of the API
// server. A version without a document, as right after the CRDs are installed, is
// assumed to have all fields until the next discovery.
func readFields(ctx context.Context, client discovery.DiscoveryInterfaceWithContext, version schema.GroupVersion) (fields, error) {
	paths, err := client.OpenAPIV3WithContext(ctx).PathsWithContext(ctx)
	if err != nil {
		return fields{}, fmt.Errorf("list the OpenAPI documents: %w", err)
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
			Schemas map[string]schemaNode `json:"schemas"`
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

func (f *fields) readImport(n schemaNode) {
	f.ips = n.at("spec", "ips").maxItems(maxIPs)
	f.ipFamilies = n.has("spec", "ipFamilies")
	f.trafficPolicies = n.has("spec", "internalTrafficPolicy") && n.has("spec", "trafficDistribution")
	f.endpointSlices = n.has("status", "endpointSliceObjects")
	f.importConditions = n.has("status", "conditions")
}

// schemaNode is the part of an OpenAPI schema that readFields uses.
type schemaNode struct {
	Kinds      []schema.GroupVersionKind `json:"x-kubernetes-group-version-kind"`
	Properties map[string]*schemaNode    `json:"properties"`
	Items      *schemaNode               `json:"items"`
	MaxItems   *int                      `json:"maxItems"`
	Unknown    bool                      `json:"x-kubernetes-preserve-unknown-fields"`
}

func (n *schemaNode) is(kind schema.GroupVersionKind) bool { return slices.Contains(n.Kinds, kind) }

func (n *schemaNode) has(path ...string) bool { return n.at(path...) != nil }

// at returns the schema of a field, also within the items of a list; nil if there is no
// such field.
func (n *schemaNode) at(path ...string) *schemaNode {
	for _, name := range path {
		if n.Items != nil {
			n = n.Items
		}
		next, ok := n.Properties[name]
		if !ok && n.Unknown {
			return &schemaNode{Unknown: true}
		}
		if !ok || next == nil {
			return nil
		}
		n = next
	}
	return n
}

// maxItems returns the maximum number of items of a list, but at most limit.
func (n *schemaNode) maxItems(limit int) int {
	switch {
	case n == nil:
		return 0
	case n.MaxItems != nil:
		return min(*n.MaxItems, limit)
	}
	return limit
}
