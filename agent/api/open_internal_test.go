package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCallsOfOneProgramAreBoundedAndNotThoseOfOthers(t *testing.T) {
	for program, most := range map[string]int{"web": maxOpenProgram, "": maxOpenSocket} {
		open := new(openCalls)
		var leave []func()
		for range most {
			_, l, err := open.enter(program)
			require.NoError(t, err)
			leave = append(leave, l)
		}
		_, _, err := open.enter(program)
		require.ErrorContains(t, err, "which is the maximum", "program %q", program)
		_, other, err := open.enter("other")
		require.NoError(t, err)
		other()
		leave[0]()
		_, leave[0], err = open.enter(program)
		require.NoError(t, err)
		for _, l := range leave {
			l()
		}
		assert.Empty(t, open.open, "nothing is kept of a program without calls")
	}
}

func TestCallThatIsOneTooManyIsRefusedWithARemedy(t *testing.T) {
	open := new(openCalls)
	served := 0
	handler := open.limit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	call := func() *httptest.ResponseRecorder {
		request := httptest.NewRequest(http.MethodPost, "/meshway.catalog.v1.Catalog/List", http.NoBody)
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer
	}
	assert.Equal(t, http.StatusOK, call().Code)
	assert.Empty(t, open.open, "the call has ended")

	open.open = map[string]*caller{"": {calls: maxOpenSocket}}
	answer := call()
	assert.Equal(t, http.StatusTooManyRequests, answer.Code)
	assert.Equal(t, 1, served)
	var body struct {
		Details []struct{ Debug struct{ Code, Remedy string } }
	}
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &body), answer.Body.String())
	require.NotEmpty(t, body.Details)
	assert.Equal(t, CodeTooManyCalls, body.Details[0].Debug.Code)
	assert.NotEmpty(t, body.Details[0].Debug.Remedy)
}
