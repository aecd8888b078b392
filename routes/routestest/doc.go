// Package routestest has stateful fakes of routes.Kernel and routes.Filter,
// and the tables of promises that the fakes and the real adapters both keep.
package routestest
