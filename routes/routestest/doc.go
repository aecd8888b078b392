// Package routestest has stateful fakes of routes.Kernel and routes.Filter, and
// the contract tests that the fakes and the real adapters run.
package routestest
