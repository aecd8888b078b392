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

// The kinds of the Prometheus Operator (monitoring.coreos.com/v1), as far as the
// chart has a use for them: what is not here is a mistake.
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

// documents are the objects of a stream of YAML.
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

// objects decodes what is in Kubernetes' own API; an unknown, misspelt or double
// field is an error.
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

// isOperatorObject tells whether a document is of the Prometheus Operator, and decodes it strictly.
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

// objectsOf returns the objects of one type, by name.
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
