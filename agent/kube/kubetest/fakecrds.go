package kubetest

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/mcs-api/pkg/client/clientset/versioned/scheme"
)

// fakeCRDs are the CRDs of a fake API server. Objects are stored as v1beta1, and are read
// and written in each served version with the fields of that version.
type fakeCRDs struct {
	t       testing.TB
	tracker clienttesting.ObjectTracker
	create  clienttesting.ReactionFunc // called for a created object as it is stored

	mu      sync.Mutex // guards all following fields
	schemas schemas
}

func (c *fakeCRDs) install(s schemas) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schemas = s
}

func (c *fakeCRDs) kinds(version string) map[string]map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.schemas[version]
}

// react handles a request in any version, which must be served.
func (c *fakeCRDs) react(action clienttesting.Action) (bool, runtime.Object, error) {
	version := action.GetResource().Version
	if len(c.kinds(version)) == 0 {
		return true, nil, apierrors.NewNotFound(action.GetResource().GroupResource(), "")
	}
	var err error
	switch a := action.(type) {
	case clienttesting.CreateActionImpl:
		a.Resource.Version = beta
		if a.Object, err = c.store(a.Object, version); err == nil {
			_, _, err = c.create(a)
		}
		action = a
	case clienttesting.UpdateActionImpl:
		a.Resource.Version = beta
		if a.Object, err = c.store(a.Object, version); err == nil && c.has(a) {
			action = clienttesting.NewGetAction(a.Resource, a.Namespace, name(a.Object)) // no event for an update without a change
			break
		}
		action = a
	case clienttesting.GetActionImpl:
		a.Resource.Version = beta
		action = a
	case clienttesting.DeleteActionImpl:
		a.Resource.Version = beta
		action = a
	case clienttesting.ListActionImpl:
		a.Resource.Version, a.Kind.Version = beta, beta
		action = a
	}
	if err != nil {
		return true, nil, err
	}
	_, object, err := clienttesting.ObjectReaction(c.tracker)(action)
	if err == nil && object != nil {
		object, err = convert(object, version, keep)
	}
	return true, object, err
}

// has reports whether the object of an update is stored without a difference.
func (c *fakeCRDs) has(a clienttesting.UpdateActionImpl) bool {
	have, err := c.tracker.Get(a.Resource, a.Namespace, name(a.Object))
	return err == nil && equality.Semantic.DeepEqual(have, a.Object)
}

func name(object runtime.Object) string {
	m, err := meta.Accessor(object)
	if err != nil {
		return ""
	}
	return m.GetName()
}

// store returns the stored object for one that is written in a version.
func (c *fakeCRDs) store(object runtime.Object, version string) (runtime.Object, error) {
	return convert(object, beta, func(kind string, decoded any) (any, error) {
		kept, err := admit(decoded, c.kinds(version)[kind])
		if err != nil {
			return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: err.Error(),
			}}
		}
		return kept, nil
	})
}

// watch starts at the resource version of the list, as the fake clients of Kubernetes
// do. Those of mcs-api do not, and lose the events in between.
func (c *fakeCRDs) watch(action clienttesting.Action) (bool, watch.Interface, error) {
	w, ok := action.(clienttesting.WatchActionImpl)
	if !ok {
		return false, nil, nil
	}
	resource := w.GetResource()
	version := resource.Version
	if len(c.kinds(version)) == 0 {
		return true, nil, apierrors.NewNotFound(resource.GroupResource(), "")
	}
	resource.Version = beta
	found, err := c.tracker.Watch(resource, w.GetNamespace(), w.ListOptions)
	if err != nil {
		return true, nil, err
	}
	return true, convertEvents(found, version), nil
}

// convertEvents returns the events of from with their objects in another version.
// Unlike watch.Filter it ends with a consumer that stops without draining.
func convertEvents(from watch.Interface, version string) watch.Interface {
	converted := make(chan watch.Event)
	to := watch.NewProxyWatcher(converted)
	go func() {
		defer close(converted)
		defer from.Stop()
		for {
			select {
			case <-to.StopChan():
				return
			case e, ok := <-from.ResultChan():
				if !ok {
					return
				}
				var err error
				if e.Object, err = convert(e.Object, version, keep); err != nil {
					continue
				}
				select {
				case <-to.StopChan():
					return
				case converted <- e:
				}
			}
		}
	}()
	return to
}

func keep(_ string, decoded any) (any, error) { return decoded, nil }

// convert converts an object or a list to another version by its JSON, independently of
// the conversions of the controller. change edits the decoded object.
func convert(object runtime.Object, version string, change func(kind string, decoded any) (any, error)) (runtime.Object, error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return nil, err
	}
	kind := kinds[0]
	kind.Version = version
	into, err := scheme.Scheme.New(kind)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var decoded any
	if err := json.Unmarshal(text, &decoded); err != nil {
		return nil, err
	}
	if decoded, err = change(kind.Kind, decoded); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(decoded); err != nil {
		return nil, err
	}
	return into, json.Unmarshal(text, into)
}
