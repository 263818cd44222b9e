package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// toolsVariable names the folder with kube-apiserver, kube-controller-manager and
// kubectl, as task test:cluster builds them.
const toolsVariable = "TRIPCAST_CLUSTER_TOOLS"

// clusterTest is a cluster and a registry, and a deploy that works against them.
type clusterTest struct {
	*apiServer
	registry *imageRegistry
}

// TestCluster deploys what is deployed, with the real kubectl and ko, to a real
// API server: every object is accepted, or not. There are no controllers but
// those that delete, so nothing becomes ready and nothing runs.
func TestCluster(t *testing.T) {
	c := newClusterTest(t)
	t.Run("without Knative", c.withoutKnative)
	c.installKnative(t)
	t.Run("broken", c.broken)
	t.Run("try-out", c.tryOut)
	t.Run("images", c.images)
	t.Run("pods", c.pods)
	t.Run("drift", c.drift)
	t.Run("catalogue", c.catalogue)
	t.Run("wait", c.wait)
	t.Run("delete", c.deleted)
	t.Run("production", c.production)
}

func newClusterTest(t *testing.T) *clusterTest {
	t.Helper()
	tools := os.Getenv(toolsVariable)
	if tools == "" {
		t.Skipf("NOT TESTED against a Kubernetes API server: %s does not name its binaries (task test:cluster builds them)", toolsVariable)
	}
	t.Chdir("../..")
	tools, err := filepath.Abs(tools)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", tools+string(os.PathListSeparator)+os.Getenv("PATH"))
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Fatalf("%v (Debian's package is etcd-server; RUNLEVEL=1 apt-get install leaves its service alone)", err)
	}
	c := &clusterTest{registry: startRegistry(t)}
	t.Setenv("KO_DOCKER_REPO", c.registry.address+"/tripcast")
	t.Setenv("KO_DEFAULTBASEIMAGE", c.registry.pushEmpty(t, "base/empty"))
	t.Setenv("KO_DEFAULTPLATFORMS", "linux/amd64")
	c.apiServer = startAPIServer(t, tools)
	return c
}

// deploy is the command itself. It returns the exit code and what was printed.
func (c *clusterTest) deploy(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), processes{}, append([]string{"--kubeconfig", c.kubeconfig}, args...), os.Getenv, &out, &errs)
	t.Logf("deploy %s: %d\n%s%s", strings.Join(args, " "), code, out.String(), errs.String())
	return code, out.String(), errs.String()
}

// mustDeploy is for what has to succeed, without a word of the API server's.
func (c *clusterTest) mustDeploy(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := c.deploy(t, args...)
	if code != exitOK {
		t.Fatalf("deploy %v ended with %d", args, code)
	}
	if strings.Contains(errs, "Warning:") {
		t.Errorf("deploy %v was warned", args)
	}
	return out
}

// modules are where the CRDs of Knative are found.
func (c *clusterTest) installKnative(t *testing.T) {
	t.Helper()
	for _, crds := range []string{"knative.dev/serving config/core/300-resources", "knative.dev/eventing config/core/resources"} {
		module, folder, _ := strings.Cut(crds, " ")
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Fatalf("looking for the CRDs of %s: %v", module, err)
		}
		c.kubectl(t, "", "apply", "--server-side", "-f", filepath.Join(strings.TrimSpace(string(dir)), folder))
	}
	c.kubectl(t, "", "apply", "--server-side", "-f", "infra/deploy/testdata/crds")
	c.kubectl(t, "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
}

// complaintLines are the lines that deploy ends with.
func complaintLines(stderr string) []string {
	var lines []string
	for line := range strings.Lines(stderr) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deploy: "); ok {
			lines = append(lines, rest)
		}
	}
	return lines
}

// mustMatch holds lines to patterns, one each.
func mustMatch(t *testing.T, lines []string, patterns ...string) {
	t.Helper()
	if len(lines) != len(patterns) {
		t.Errorf("%d lines, want %d: %q", len(lines), len(patterns), lines)
		return
	}
	for i, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(lines[i]) {
			t.Errorf("line %q, want one like %q", lines[i], pattern)
		}
	}
}

func (c *clusterTest) withoutKnative(t *testing.T) {
	code, _, errs := c.deploy(t, "apply")
	if code != exitFail {
		t.Errorf("exit code %d, want %d", code, exitFail)
	}
	mustMatch(t, complaintLines(errs),
		`^the cluster knows no KafkaSink of eventing.knative.dev/v1alpha1: install eventing-kafka-broker's KafkaSink, https://`,
		`^the cluster knows no Service of serving.knative.dev/v1: install Knative Serving, https://`,
		`^the cluster knows no KafkaSource of sources.knative.dev/v1: install eventing-kafka-broker's KafkaSource, https://`,
		`^the cluster knows no SinkBinding of sources.knative.dev/v1: install Knative Eventing, https://`)
	c.mustBeGone(t)
}

// copied copies the manifests to a folder of this test's and returns it.
func copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("infra/knative")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (c *clusterTest) broken(t *testing.T) {
	dir := copied(t)
	file := filepath.Join(dir, "base/20-predict.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	misspelt := bytes.Replace(content, []byte("containerConcurrency:"), []byte("containerConcurency:"), 1)
	if bytes.Equal(misspelt, content) {
		t.Fatalf("%s has no containerConcurrency to misspell", file)
	}
	write(t, file, string(misspelt))
	pushed := c.registry.pushes()
	code, _, errs := c.deploy(t, "apply", "--overlay", filepath.Join(dir, "overlays/try-out"))
	if code != exitFail {
		t.Errorf("exit code %d, want %d", code, exitFail)
	}
	mustMatch(t, complaintLines(errs), `Service tripcast/predict.*spec\.template\.spec\.containerConcurency`)
	if n := c.registry.pushes() - pushed; n != 0 {
		t.Errorf("%d images were pushed, want none", n)
	}
	c.mustBeGone(t)
}

func (c *clusterTest) tryOut(t *testing.T) {
	if code, out, _ := c.deploy(t, "diff"); code != exitDiffer || !strings.Contains(out, "create     Service tripcast/predict") {
		t.Errorf("diff before anything is there: %d, want %d and everything created", code, exitDiffer)
	}
	out := c.mustDeploy(t, "apply")
	s, _, err := render("infra/knative/overlays/try-out")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out, "created "); n != len(s) {
		t.Errorf("%d objects were created, want %d", n, len(s))
	}
	c.settled(t, "try-out", len(s))
}

// settled holds what is deployed to being deployed: applying it again changes
// nothing, and diff knows that.
func (c *clusterTest) settled(t *testing.T, overlay string, objects int) {
	t.Helper()
	before := c.versions(t)
	if len(before) < objects {
		t.Errorf("%d objects of ours are in the cluster, want at least %d", len(before), objects)
	}
	if out, want := c.mustDeploy(t, "apply", "--overlay", overlay), fmt.Sprintf("unchanged  %d of %[1]d\n", objects); out != want {
		t.Errorf("a second apply did\n%swant\n%s", out, want)
	}
	if after := c.versions(t); !maps.Equal(before, after) {
		t.Errorf("a second apply made of\n%v\n%v", before, after)
	}
	if out := c.mustDeploy(t, "diff", "--overlay", overlay); out != "" {
		t.Errorf("diff of what is there: %s", out)
	}
}

// live is everything in the namespace, of every type there is.
func (c *clusterTest) live(t *testing.T) []object {
	t.Helper()
	types := c.kubectl(t, "", "api-resources", "--namespaced", "--verbs=list", "-o", "name")
	objects, err := several([]byte(c.kubectl(t, "", "get", strings.Join(strings.Fields(types), ","), "-n", tripcast, "-o", "json")))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// versions are the resource versions of the namespace and everything in it.
func (c *clusterTest) versions(t *testing.T) map[string]string {
	t.Helper()
	versions := map[string]string{"Namespace": c.kubectl(t, "", "get", "namespace", tripcast, "-o", "jsonpath={.metadata.resourceVersion}")}
	for _, o := range c.live(t) {
		versions[idOf(o).String()+" "+string(o.GetUID())] = o.GetResourceVersion()
	}
	return versions
}

// mustBeGone holds the cluster to having no namespace of ours and nothing with
// our label anywhere.
func (c *clusterTest) mustBeGone(t *testing.T) {
	t.Helper()
	if out := c.kubectl(t, "", "get", "namespace", tripcast, "--ignore-not-found", "-o", "name"); out != "" {
		t.Errorf("there is a %s", out)
	}
	for _, scope := range []string{"--namespaced=true", "--namespaced=false"} {
		types := strings.Fields(c.kubectl(t, "", "api-resources", scope, "--verbs=list", "-o", "name"))
		out := c.kubectl(t, "", "get", strings.Join(types, ","), "-A", "-l", partOf+"="+tripcast, "--ignore-not-found", "-o", "name")
		if out != "" {
			t.Errorf("there still are\n%s", out)
		}
	}
	for _, o := range c.live(t) {
		t.Errorf("there still is %s", idOf(o))
	}
}

func (c *clusterTest) drift(t *testing.T) {
	c.kubectl(t, "", "patch", "services.serving.knative.dev", "predict", "-n", tripcast, "--type=json",
		"-p", `[{"op": "replace", "path": "/spec/template/spec/containerConcurrency", "value": 7}]`)
	code, out, _ := c.deploy(t, "diff")
	if code != exitDiffer || !strings.Contains(out, "-      containerConcurrency: 7\n") {
		t.Errorf("diff after a change by hand: %d, want %d and the change", code, exitDiffer)
	}
	s, _, err := render("infra/knative/overlays/try-out")
	if err != nil {
		t.Fatal(err)
	}
	out = c.mustDeploy(t, "apply")
	if want := fmt.Sprintf("changed    Service tripcast/predict\nunchanged  %d of %d\n", len(s)-1, len(s)); out != want {
		t.Errorf("apply after a change by hand did\n%swant\n%s", out, want)
	}
	if code, _, _ := c.deploy(t, "diff"); code != exitOK {
		t.Errorf("diff after that: %d, want %d", code, exitOK)
	}
}

// catalogue is how a catalogue of one's own is deployed: an overlay with the
// component models.
func (c *clusterTest) catalogue(t *testing.T) {
	dir := copied(t)
	own := filepath.Join(dir, "overlays/own")
	write(t, filepath.Join(own, "kustomization.yaml"), `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../try-out]
components: [../../components/models]
configMapGenerator:
  - name: models
    namespace: tripcast
    files: [models.yaml]
generatorOptions:
  labels: {app.kubernetes.io/part-of: tripcast, app.kubernetes.io/name: models, app.kubernetes.io/component: catalogue}
`)
	catalogue, err := os.ReadFile("infra/models.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(own, "models.yaml"), string(catalogue))
	out := c.mustDeploy(t, "apply", "--overlay", own)
	mustMatch(t, doneLines(out), `^created ConfigMap tripcast/models-`, `^created Job tripcast/setup-`, `^deleted Job tripcast/setup-`)

	write(t, filepath.Join(own, "models.yaml"), string(catalogue)+"# and a word more\n")
	code, out, _ := c.deploy(t, "diff", "--overlay", own)
	if code != exitDiffer || !strings.Contains(out, "delete     Job tripcast/setup-") || !strings.Contains(out, "delete     ConfigMap tripcast/models-") {
		t.Errorf("diff of a changed catalogue: %d, want %d and what is deleted", code, exitDiffer)
	}
	out = c.mustDeploy(t, "apply", "--overlay", own)
	mustMatch(t, doneLines(out), `^created ConfigMap tripcast/models-`, `^created Job tripcast/setup-`,
		`^deleted ConfigMap tripcast/models-`, `^deleted Job tripcast/setup-`)

	// And back: the first deployment's Job runs again, as it is not there any more.
	out = c.mustDeploy(t, "apply")
	mustMatch(t, doneLines(out), `^created Job tripcast/setup-`, `^deleted ConfigMap tripcast/models-`, `^deleted Job tripcast/setup-`)
}

// doneLines is what deploy says it has done, but for what is unchanged, sorted.
func doneLines(out string) []string {
	var lines []string
	for line := range strings.Lines(out) {
		if line = strings.Join(strings.Fields(line), " "); !strings.HasPrefix(line, "unchanged ") {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

func (c *clusterTest) wait(t *testing.T) {
	code, _, errs := c.deploy(t, "apply", "--wait", "--timeout", "3s")
	if code != exitFail {
		t.Errorf("exit code %d, want %d: there is no controller to make anything ready", code, exitFail)
	}
	mustMatch(t, complaintLines(errs), `^not ready after 3s: .*Job tripcast/setup-\w+ \(no pod runs yet\).*Service tripcast/predict \(not looked at yet\)`)
}

func (c *clusterTest) deleted(t *testing.T) {
	out := c.mustDeploy(t, "delete", "--timeout", "60s")
	if !strings.Contains(out, "deleted    Namespace tripcast\n") || strings.Contains(out, "left") {
		t.Error("want the namespace deleted and nothing left")
	}
	c.mustBeGone(t)
	if out := c.mustDeploy(t, "delete"); out != "there is no namespace tripcast: nothing to delete\n" {
		t.Errorf("a second delete did\n%s", out)
	}
}

func (c *clusterTest) production(t *testing.T) {
	code, _, errs := c.deploy(t, "apply", "--overlay", "production")
	if code != exitFail {
		t.Errorf("exit code %d, want %d", code, exitFail)
	}
	mustMatch(t, complaintLines(errs),
		`^there is no namespace tripcast for Secrets: kubectl create namespace tripcast$`,
		`^there is no Secret tripcast/kafka: kubectl create secret generic kafka -n tripcast .*--from-literal=password=\.\.\.`,
		`^there is no Secret tripcast/materialize: kubectl create secret generic materialize -n tripcast --from-literal=url=\.\.\.$`,
		`^there is no Secret tripcast/redis: kubectl create secret generic redis -n tripcast --from-literal=url=\.\.\.$`)
	c.mustBeGone(t)

	c.kubectl(t, "", "create", "namespace", tripcast)
	c.kubectl(t, "", "create", "secret", "generic", "redis", "-n", tripcast, "--from-literal=uri=rediss://redis.example:6380")
	c.kubectl(t, "", "create", "secret", "generic", "materialize", "-n", tripcast, "--from-literal=url=postgres://materialize.example:6875/materialize")
	c.kubectl(t, "", "create", "secret", "generic", "kafka", "-n", tripcast, "--from-literal=protocol=SASL_SSL",
		"--from-literal=sasl.mechanism=SCRAM-SHA-512", "--from-literal=user=tripcast", "--from-literal=password=secret", "--from-literal=ca.crt=PEM")
	_, _, errs = c.deploy(t, "apply", "--overlay", "production")
	mustMatch(t, complaintLines(errs), `^the Secret tripcast/redis has no key url: kubectl patch secret redis -n tripcast -p '\{"stringData":\{"url":"\.\.\."\}\}'$`)

	c.kubectl(t, "", "patch", "secret", "redis", "-n", tripcast, "-p", `{"stringData":{"url":"rediss://redis.example:6380"}}`)
	c.mustDeploy(t, "apply", "--overlay", "production")
	s, _, err := render("infra/knative/overlays/production")
	if err != nil {
		t.Fatal(err)
	}
	c.settled(t, "production", len(s))
	c.pods(t)

	out := c.mustDeploy(t, "delete", "--overlay", "production", "--timeout", "60s")
	if !strings.Contains(out, "left       Namespace tripcast\n") {
		t.Error("want the namespace left, which holds Secrets that are not deploy's")
	}
	var left []string
	for _, o := range c.live(t) {
		left = append(left, idOf(o).String())
	}
	slices.Sort(left)
	if want := []string{"Secret tripcast/kafka", "Secret tripcast/materialize", "Secret tripcast/redis"}; !slices.Equal(left, want) {
		t.Errorf("in the namespace are %q, want %q", left, want)
	}
	c.mustDeploy(t, "delete", "--overlay", "production", "--everything", "--timeout", "60s")
	c.mustBeGone(t)
}
