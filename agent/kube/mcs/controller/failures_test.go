package controller

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshway/meshway/consensus/catalog"
)

// A failure that passes is not a problem; a request without an answer is one.
func TestOnlyLastingFailuresAreProblems(t *testing.T) {
	name := catalog.ServiceName{Namespace: "shop", Name: "web"}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "", errors.New("no"))
	for title, c := range map[string]struct {
		act  func(*failures)
		want int
	}{
		"no answer":                  {func(f *failures) { f.begin(name) }, 1},
		"failing":                    {func(f *failures) { f.begin(name); f.end(name, forbidden); f.begin(name) }, 1},
		"success":                    {func(f *failures) { f.begin(name); f.end(name, nil) }, 0},
		"another gateway is elected": {func(f *failures) { f.begin(name); f.end(name, forbidden); f.clearServices() }, 0},
		"a watch fails":              {func(f *failures) { f.failWatch("Services", forbidden) }, 1},
		"a watch ends":               {func(f *failures) { f.failWatch("Services", io.EOF) }, 0},
		"all watches succeeded":      {func(f *failures) { f.failWatch("Services", forbidden); f.watchesSucceeded() }, 0},
		"a conflict":                 {func(f *failures) { f.begin(name); f.end(name, forbidden); f.end(name, nil) }, 0},
		"two steps":                  {func(f *failures) { f.fail("a", forbidden); f.fail("b", forbidden) }, 1},
	} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFailures(slog.New(slog.DiscardHandler))
				c.act(f)
				assert.Empty(t, f.problems(time.Now()), "not at once")
				time.Sleep(reportDelay)
				assert.Len(t, f.problems(time.Now()), c.want)
			})
		})
	}
}

func TestWatchFailureExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFailures(slog.New(slog.DiscardHandler))
		f.failWatch("Services", errors.New("refused"))
		time.Sleep(failureExpiry - time.Second)
		f.failWatch("Services", errors.New("refused"))
		time.Sleep(failureExpiry - time.Second)
		assert.Len(t, f.problems(time.Now()), 1)
		time.Sleep(time.Second)
		assert.Empty(t, f.problems(time.Now()))
		f.failWatch("Services", errors.New("refused"))
		assert.Empty(t, f.problems(time.Now()), "a later failure starts again")
	})
}
