package main

import "testing"

func TestUnready(t *testing.T) {
	tests := map[string]struct {
		object    string
		why, lost string
	}{
		"a Service that is ready": {object: `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: predict, generation: 2}
status: {observedGeneration: 2, conditions: [{type: Ready, status: "True"}]}`},
		"a Service that was": {why: "not looked at yet", object: `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: predict, generation: 3}
status: {observedGeneration: 2, conditions: [{type: Ready, status: "True"}]}`},
		"a source that is not": {why: "TopicsNotPresent: no topic features", object: `
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: {name: features, generation: 1}
status: {observedGeneration: 1, conditions: [{type: Ready, status: "False", reason: TopicsNotPresent, message: "no topic\nfeatures"}]}`},
		"a Job without a pod": {why: "no pod runs yet", object: `
apiVersion: batch/v1
kind: Job
metadata: {name: setup}
spec: {activeDeadlineSeconds: 60}`},
		"a Job at work": {why: "running", object: `
apiVersion: batch/v1
kind: Job
metadata: {name: setup}
spec: {activeDeadlineSeconds: 60}
status: {active: 1, ready: 1}`},
		"a Job without an end": {object: `
apiVersion: batch/v1
kind: Job
metadata: {name: simulate}
spec: {}
status: {active: 1, ready: 1}`},
		"a Job that is done": {object: `
apiVersion: batch/v1
kind: Job
metadata: {name: setup}
spec: {activeDeadlineSeconds: 60}
status: {conditions: [{type: Complete, status: "True"}]}`},
		"a Job that has failed": {lost: "failed: BackoffLimitExceeded: Job has reached the specified backoff limit (kubectl logs -n tripcast job/setup)", object: `
apiVersion: batch/v1
kind: Job
metadata: {name: setup, namespace: tripcast}
spec: {activeDeadlineSeconds: 60}
status: {conditions: [{type: Failed, status: "True", reason: BackoffLimitExceeded, message: Job has reached the specified backoff limit}]}`},
		"a StatefulSet on its way": {why: "1 of 2 ready", object: `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: redis, generation: 1}
spec: {replicas: 2}
status: {observedGeneration: 1, updatedReplicas: 2, readyReplicas: 1}`},
		"a Deployment of one": {object: `
apiVersion: apps/v1
kind: Deployment
metadata: {name: monitor, generation: 1}
spec: {}
status: {observedGeneration: 1, updatedReplicas: 1, readyReplicas: 1}`},
		"a ConfigMap": {object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: models}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := decode([]byte(test.object))
			if err != nil {
				t.Fatal(err)
			}
			why, err := unready(s[0])
			lost := ""
			if err != nil {
				lost = err.Error()
			}
			if why != test.why || lost != test.lost {
				t.Errorf("waits for %q, lost for %q: want %q, %q", why, lost, test.why, test.lost)
			}
		})
	}
}
