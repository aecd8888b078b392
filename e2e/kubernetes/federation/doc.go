// Package federation tests Meshway as a user installs it: with the chart on real
// clusters, federated with the commands of the README.
package federation
