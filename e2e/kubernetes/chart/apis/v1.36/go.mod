// The API of Kubernetes 1.36, for the tests of the chart.
module github.com/meshway/meshway/e2e/kubernetes/chart/apis/v1.36

go 1.26.0

require k8s.io/client-go v0.36.6
