package mcs

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/meshway/meshway/consensus/catalog"
)

const (
	// ManagedBy is the manager of the objects that Meshway writes and may delete.
	ManagedBy = "meshway"

	// ManagedByLabel has the value ManagedBy on ServiceImports and derived Services.
	// EndpointSlices carry it in discoveryv1.LabelManagedBy.
	ManagedByLabel = "app.kubernetes.io/managed-by"

	// DerivedServiceAnnotation on a ServiceImport names its derived Service, as
	// the reference implementation does.
	DerivedServiceAnnotation = "multicluster.kubernetes.io/derived-service"

	derivedPrefix = "derived-"
	hashLength    = 10
)

// DerivedName returns the name of the Service whose ClusterIP is the clusterset IP.
// The reference implementation uses the same name.
func DerivedName(name catalog.ServiceName) string {
	return derivedPrefix + hash(name.Namespace+"/"+name.Name)
}

// sliceName returns a name that differs between the slices of all datacenters: the
// hash distinguishes names that are equal once joined by hyphens.
func sliceName(s catalog.EndpointSliceKey) string {
	return s.Name + "-" + string(s.Datacenter) + "-" + hash(string(s.Datacenter)+"/"+s.Slice)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:hashLength]
}

// ExportedName returns the exported name that an object belongs to. For a derived
// Service, a mirror and the EndpointSlices that Meshway wrote it is the name of
// their ServiceImport. It reports false for an object that belongs to none.
func ExportedName(object metav1.Object) (catalog.ServiceName, bool) {
	labels := object.GetLabels()
	name := object.GetName()
	switch object.(type) {
	case *discoveryv1.EndpointSlice:
		name = labels[discoveryv1.LabelServiceName]
		if IsManagedSlice(object) {
			name = cmp.Or(labels[mcsv1.LabelServiceName], labels[MirrorLabel])
		}
	case *corev1.Service:
		if IsManaged(object) {
			name = cmp.Or(labels[mcsv1.LabelServiceName], labels[MirrorLabel])
		}
	}
	return catalog.ServiceName{Namespace: object.GetNamespace(), Name: name}, name != ""
}

// IsManaged reports whether Meshway wrote a ServiceImport or Service.
func IsManaged(object metav1.Object) bool { return object.GetLabels()[ManagedByLabel] == ManagedBy }

// IsManagedSlice reports whether Meshway wrote an EndpointSlice.
func IsManagedSlice(object metav1.Object) bool {
	return object.GetLabels()[discoveryv1.LabelManagedBy] == ManagedBy
}
