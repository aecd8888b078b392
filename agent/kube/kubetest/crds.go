package kubetest

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/mcs-api/config/crd"
)

// Release is a set of CRDs of the Multi-Cluster Services API.
type Release string

// Releases in ascending order.
const (
	Oldest    Release = "v0.1.0"               // v1alpha1 with the fields of the first release
	OnlyAlpha Release = "before v1beta1"       // v1alpha1 with all fields
	Newest    Release = "v1alpha1 and v1beta1" // the CRDs of the chart
	None      Release = "none"
)

// Version returns the newest version of the API that is served.
func (r Release) Version() string {
	if r == Newest {
		return beta
	}
	return alpha
}

//go:embed testdata/v0.1.0
var oldest embed.FS // of github.com/kubernetes-sigs/mcs-api

// CRDs returns the CRDs of a release, as decoded JSON.
func CRDs(t testing.TB, release Release) []map[string]any {
	t.Helper()
	if release == None {
		return nil
	}
	var list []map[string]any
	for name, newest := range map[string][]byte{"serviceexports": crd.ServiceExportCRD, "serviceimports": crd.ServiceImportCRD} {
		text := newest
		if release == Oldest {
			var err error
			text, err = oldest.ReadFile(fmt.Sprintf("testdata/v0.1.0/multicluster.x-k8s.io_%s.yaml", name))
			require.NoError(t, err)
		}
		var object map[string]any
		require.NoError(t, yaml.Unmarshal(text, &object))
		if release == OnlyAlpha {
			dropBeta(object)
		}
		list = append(list, object)
	}
	return list
}

// Manifest returns the CRDs of a release as a manifest for kubectl.
func Manifest(t testing.TB, release Release) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": CRDs(t, release)})
	require.NoError(t, err)
	return string(text)
}

// dropBeta removes v1beta1 from a CRD.
func dropBeta(object map[string]any) {
	spec := object["spec"].(map[string]any)
	spec["versions"] = slices.DeleteFunc(spec["versions"].([]any), func(version any) bool {
		v := version.(map[string]any)
		v["storage"] = true
		return v["name"] != alpha
	})
}

const alpha, beta = "v1alpha1", "v1beta1"

// schemas are the schemas of CRDs by version and kind. They are not modified.
type schemas map[string]map[string]map[string]any

// schemasOf returns the schema of each kind in each version that a release serves.
func schemasOf(t testing.TB, release Release) schemas {
	t.Helper()
	found := schemas{alpha: {}, beta: {}}
	for _, object := range CRDs(t, release) {
		spec := object["spec"].(map[string]any)
		kind := spec["names"].(map[string]any)["kind"].(string)
		for _, v := range spec["versions"].([]any) {
			if v := v.(map[string]any); v["served"] == true {
				version := v["name"].(string)
				schema := v["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
				schema["x-kubernetes-group-version-kind"] = []any{map[string]any{"group": spec["group"], "version": version, "kind": kind}}
				found[version][kind] = schema
			}
		}
	}
	return found
}

// admit validates a decoded object against its schema as an API server does: it drops
// unknown fields, and refuses lists that are too long.
func admit(value any, schema map[string]any) (any, error) {
	switch value := value.(type) {
	case map[string]any:
		properties, ok := schema["properties"].(map[string]any)
		if !ok { // a map, or metadata
			return value, nil
		}
		for name := range value {
			known, ok := properties[name].(map[string]any)
			if !ok {
				delete(value, name)
				continue
			}
			kept, err := admit(value[name], known)
			if err != nil {
				return nil, fmt.Errorf("%s.%w", name, err)
			}
			value[name] = kept
		}
	case []any:
		if most, ok := schema["maxItems"].(float64); ok && len(value) > int(most) {
			return nil, fmt.Errorf("has %d items, and at most %v are allowed", len(value), most)
		}
		items, _ := schema["items"].(map[string]any)
		for i := range value {
			kept, err := admit(value[i], items)
			if err != nil {
				return nil, err
			}
			value[i] = kept
		}
	}
	return value, nil
}
