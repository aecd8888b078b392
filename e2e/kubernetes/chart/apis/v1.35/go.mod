// The API of Kubernetes 1.35, for the tests of the chart.
module github.com/meshway/meshway/e2e/kubernetes/chart/apis/v1.35

go 1.26.0

require k8s.io/client-go v0.35.10
