package chart_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	yamldoc "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// The fields of the Prometheus Operator's kinds (monitoring.coreos.com/v1) that the
// chart uses. Other fields are errors.
type (
	monitor struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   meta   `json:"metadata"`
		Spec       struct {
			Selector            selector   `json:"selector"`
			PodMetricsEndpoints []endpoint `json:"podMetricsEndpoints,omitempty"` // PodMonitor
			Endpoints           []endpoint `json:"endpoints,omitempty"`           // ServiceMonitor
		} `json:"spec"`
	}
	rule struct {
		APIVersion string    `json:"apiVersion"`
		Kind       string    `json:"kind"`
		Metadata   meta      `json:"metadata"`
		Spec       ruleGroup `json:"spec"`
	}
	ruleGroup struct {
		Groups []struct {
			Name  string  `json:"name"`
			Rules []alert `json:"rules"`
		} `json:"groups"`
	}
	alert struct {
		Alert       string            `json:"alert"`
		Expr        string            `json:"expr"`
		For         string            `json:"for,omitempty"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	}
	meta struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	}
	selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	}
	endpoint struct {
		Port        string       `json:"port"`
		Interval    string       `json:"interval"`
		Relabelings []relabeling `json:"relabelings"`
	}
	relabeling struct {
		TargetLabel  string   `json:"targetLabel"`
		Replacement  string   `json:"replacement,omitempty"`
		SourceLabels []string `json:"sourceLabels,omitempty"`
	}
)

// documents returns the documents of a YAML stream without the empty ones.
func documents(t *testing.T, manifests string) [][]byte {
	t.Helper()
	var found [][]byte
	for reader := yamldoc.NewYAMLReader(bufio.NewReader(strings.NewReader(manifests))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		var content map[string]any
		if require.NoError(t, yaml.Unmarshal(document, &content)); len(content) > 0 {
			found = append(found, document)
		}
	}
}

// objects decodes the objects of Kubernetes' own API and skips those of the
// Prometheus Operator. Unknown and duplicate fields are errors.
func objects(t *testing.T, manifests string) []runtime.Object {
	t.Helper()
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	var found []runtime.Object
	for _, document := range documents(t, manifests) {
		if isOperatorObject(t, document) {
			continue
		}
		object, _, err := strict.Decode(document, nil, nil)
		require.NoError(t, err, "%s", document)
		found = append(found, object)
	}
	return found
}

// isOperatorObject reports whether a document is an object of the Prometheus
// Operator, and fails the test if it has unknown fields.
func isOperatorObject(t *testing.T, document []byte) bool {
	t.Helper()
	var kind struct{ APIVersion, Kind string }
	require.NoError(t, yaml.Unmarshal(document, &kind))
	if kind.APIVersion != "monitoring.coreos.com/v1" {
		return false
	}
	switch kind.Kind {
	case "PodMonitor", "ServiceMonitor":
		require.NoError(t, yaml.UnmarshalStrict(document, &monitor{}), "%s", document)
	case "PrometheusRule":
		require.NoError(t, yaml.UnmarshalStrict(document, &rule{}), "%s", document)
	default:
		require.Fail(t, "unknown kind", kind.Kind)
	}
	return true
}

// objectsOf returns the objects of a type by name.
func objectsOf[T interface {
	runtime.Object
	GetName() string
}](list []runtime.Object) map[string]T {
	found := map[string]T{}
	for _, object := range list {
		if o, ok := object.(T); ok {
			found[o.GetName()] = o
		}
	}
	return found
}
