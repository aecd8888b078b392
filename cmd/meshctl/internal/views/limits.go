package views

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// Limits is the document of federation limits.
type Limits struct {
	Limits []Limit `json:"limits"`
}

// Limit is how much of a resource a datacenter may have in the catalog.
type Limit struct {
	Resource string     `json:"resource"`
	Most     uint64     `json:"most"` // of this datacenter
	Default  uint64     `json:"default"`
	Highest  uint64     `json:"highest"` // that can be set
	Set      []SetLimit `json:"set"`
}

// SetLimit is what one datacenter has set for the others.
type SetLimit struct {
	Most  uint64 `json:"most"`
	SetBy string `json:"setBy"` // datacenter
}

// NewLimits returns the document of an answer.
func NewLimits(r *controlpb.SetLimitsResponse) Limits {
	view := Limits{Limits: []Limit{}}
	for _, l := range r.GetLimits() {
		limit := Limit{Resource: l.GetResource(), Most: l.GetMost(), Default: l.GetDefault(), Highest: l.GetHighest(), Set: []SetLimit{}}
		for _, s := range l.GetSet() {
			limit.Set = append(limit.Set, SetLimit{Most: s.GetMost(), SetBy: s.GetSetBy()})
		}
		view.Limits = append(view.Limits, limit)
	}
	return view
}

// LimitsTable returns one row for each resource.
func LimitsTable(view Limits) human.Table {
	table := human.Table{Columns: []human.Column{
		{Title: "RESOURCE"}, {Title: "THIS DATACENTER"}, {Title: "DEFAULT"}, {Title: "HIGHEST"}, {Title: "SET FOR THE OTHERS", Min: 10},
	}}
	for _, l := range view.Limits {
		number := func(n uint64) string { return strconv.FormatUint(n, 10) }
		if l.Resource == "memory" {
			number = human.Bytes
		}
		var set []string
		for _, s := range l.Set {
			set = append(set, fmt.Sprintf("%s by %s", number(s.Most), s.SetBy))
		}
		table.Rows = append(table.Rows, human.Text(l.Resource, number(l.Most), number(l.Default), number(l.Highest), strings.Join(set, ", ")))
	}
	return table
}
