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

// What passes by itself is not told, what an API server leaves without an answer is.
func TestOnlyWhatLastsIsTold(t *testing.T) {
	name := catalog.ServiceName{Namespace: "shop", Name: "web"}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "", errors.New("no"))
	for title, c := range map[string]struct {
		act  func(*troubles)
		want int
	}{
		"no answer":             {func(s *troubles) { s.begin(name) }, 1},
		"failing":               {func(s *troubles) { s.begin(name); s.end(name, forbidden); s.begin(name) }, 1},
		"it went well":          {func(s *troubles) { s.begin(name); s.end(name, nil) }, 0},
		"another gateway":       {func(s *troubles) { s.begin(name); s.end(name, forbidden); s.resign() }, 0},
		"a watch fails":         {func(s *troubles) { s.failWatch("Services", forbidden) }, 1},
		"a watch ends":          {func(s *troubles) { s.failWatch("Services", io.EOF) }, 0},
		"all has been read":     {func(s *troubles) { s.failWatch("Services", forbidden); s.watched() }, 0},
		"a lost race":           {func(s *troubles) { s.begin(name); s.end(name, forbidden); s.end(name, nil) }, 0},
		"two things of the API": {func(s *troubles) { s.fail("a", forbidden); s.fail("b", forbidden) }, 1},
	} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTroubles(slog.New(slog.DiscardHandler))
				c.act(s)
				assert.Empty(t, s.problems(time.Now()), "not at once")
				time.Sleep(patience)
				assert.Len(t, s.problems(time.Now()), c.want)
			})
		})
	}
}

func TestWatchThatFailsNoMoreIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTroubles(slog.New(slog.DiscardHandler))
		s.failWatch("Services", errors.New("refused"))
		time.Sleep(silence - time.Second)
		s.failWatch("Services", errors.New("refused"))
		time.Sleep(silence - time.Second)
		assert.Len(t, s.problems(time.Now()), 1)
		time.Sleep(time.Second)
		assert.Empty(t, s.problems(time.Now()))
		s.failWatch("Services", errors.New("refused"))
		assert.Empty(t, s.problems(time.Now()), "a new one counts from now")
	})
}
