package lambda_test

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/infra"
)

// envTools names a folder with Python's bin/ in which cfn-lint and AWS's
// translator are installed, as task test:lambda does.
const envTools = "TRIPCAST_LAMBDA_TOOLS"

// template is template.yaml, with CloudFormation's tags resolved into the maps
// that they stand for: !Ref x is {Ref: x}.
type template map[string]any

func read(t *testing.T) template {
	t.Helper()
	text, err := os.ReadFile("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return valueOf(t, doc.Content[0]).(map[string]any)
}

func valueOf(t *testing.T, n *yaml.Node) any {
	t.Helper()
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		t.Errorf("line %d: CloudFormation takes no YAML aliases", n.Line)
		return nil
	}
	if tag := n.Tag; strings.HasPrefix(tag, "!") && !strings.HasPrefix(tag, "!!") {
		plain := *n
		plain.Tag = ""
		value := valueOf(t, &plain)
		switch name := tag[1:]; name {
		case "Ref":
			return map[string]any{"Ref": value}
		case "GetAtt":
			return map[string]any{"Fn::GetAtt": value}
		case "Sub", "Join", "If", "Not", "Equals", "Select":
			return map[string]any{"Fn::" + name: value}
		default:
			t.Errorf("line %d: %s is not looked into by this test", n.Line, tag)
			return nil
		}
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if _, twice := m[key]; twice {
				t.Errorf("line %d: %s is given twice", n.Content[i].Line, key)
			}
			m[key] = valueOf(t, n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = valueOf(t, c)
		}
		return list
	}
	var value any
	if err := n.Decode(&value); err != nil {
		t.Errorf("line %d: %v", n.Line, err)
	}
	return value
}

// at is what is under a path of keys, nil if nothing is.
func at(value any, path ...string) any {
	for _, key := range path {
		m, _ := value.(map[string]any)
		value = m[key]
	}
	return value
}

// each calls f for every map in a value.
func each(value any, f func(map[string]any)) {
	switch value := value.(type) {
	case map[string]any:
		f(value)
		for _, v := range value {
			each(v, f)
		}
	case []any:
		for _, v := range value {
			each(v, f)
		}
	}
}

// ofType are the properties of the resources of a type, by name.
func (d template) ofType(kind string) map[string]any {
	found := map[string]any{}
	for name, resource := range d["Resources"].(map[string]any) {
		if at(resource, "Type") == kind {
			found[name] = at(resource, "Properties")
		}
	}
	return found
}

func strs(value any) []string {
	switch value := value.(type) {
	case string:
		return []string{value}
	case []any:
		var all []string
		for _, v := range value {
			all = append(all, fmt.Sprint(v))
		}
		return all
	}
	return nil
}

var substituted = regexp.MustCompile(`\$\{([^}!]+)\}`)

// What is referred to exists, and what exists is referred to.
func TestReferences(t *testing.T) {
	d := read(t)
	known := map[string]bool{"AWS::NoValue": true, "AWS::StackName": true}
	unused := map[string]bool{}
	for _, section := range []string{"Parameters", "Conditions", "Resources"} {
		for name := range d[section].(map[string]any) {
			known[name] = true
			unused[name] = section != "Resources"
		}
	}
	refer := func(name string) {
		name, _, _ = strings.Cut(name, ".") // of !GetAtt
		if !known[name] {
			t.Errorf("there is no %s", name)
		}
		delete(unused, name)
	}
	each(map[string]any(d), func(m map[string]any) {
		if name, ok := m["Ref"]; ok {
			refer(fmt.Sprint(name))
		}
		if name, ok := m["Fn::GetAtt"]; ok {
			refer(fmt.Sprint(name))
		}
		if list, ok := m["Fn::If"].([]any); ok {
			refer(fmt.Sprint(list[0]))
		}
		text, own := m["Fn::Sub"], map[string]any{}
		if list, ok := text.([]any); ok {
			text, own = list[0], list[1].(map[string]any)
		}
		if text, ok := text.(string); ok {
			for _, name := range substituted.FindAllStringSubmatch(text, -1) {
				if _, ok := own[name[1]]; !ok {
					refer(name[1])
				}
			}
		}
	})
	for name, never := range unused {
		if never {
			t.Errorf("%s is never used", name)
		}
	}
}

func TestFunctions(t *testing.T) {
	d := read(t)
	if functions := d.ofType("AWS::Serverless::Function"); len(functions) != 3 {
		t.Errorf("%d functions, want predict, learn and promote", len(functions))
	}
	globals := at(map[string]any(d), "Globals", "Function")
	for name, want := range map[string]string{"Runtime": "provided.al2023", "Handler": "bootstrap", "Architectures": "[arm64]"} {
		if got := fmt.Sprint(at(globals, name)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for name, properties := range d.ofType("AWS::Serverless::Function") {
		variables := map[string]bool{}
		for _, of := range []any{globals, properties} {
			m, _ := at(of, "Environment", "Variables").(map[string]any)
			for v := range m {
				variables[v] = true
			}
		}
		known := variablesOf(t, strings.ToLower(name))
		for v := range variables {
			if !slices.Contains(known, v) {
				t.Errorf("%s is told %s, which its command does not know: %v", name, v, known)
			}
		}
		for _, v := range []string{"REDIS_URL", kafka.EnvBrokers, kafka.EnvUsername, kafka.EnvPassword} {
			if !variables[v] {
				t.Errorf("%s is not told %s", name, v)
			}
		}
	}
}

// variablesOf are those that the usage of a command names, and Kafka's.
func variablesOf(t *testing.T, command string) []string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "..", "functions", "cmd", command, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	known := []string{
		kafka.EnvBrokers, kafka.EnvProtocol, kafka.EnvMechanism, kafka.EnvUsername, kafka.EnvPassword,
		kafka.EnvCACert, kafka.EnvClientCert, kafka.EnvClientKey,
	}
	for _, m := range regexp.MustCompile(`(?m)^  ([A-Z_]+) `).FindAllStringSubmatch(string(source), -1) {
		known = append(known, m[1])
	}
	if len(known) < 12 {
		t.Fatalf("the usage of %s names only %v", command, known)
	}
	return known
}

// No password stands in the template: secrets are references.
func TestSecrets(t *testing.T) {
	variables := at(map[string]any(read(t)), "Globals", "Function", "Environment", "Variables")
	for _, name := range []string{"REDIS_URL", kafka.EnvUsername, kafka.EnvPassword} {
		text, _ := at(variables, name, "Fn::Sub").(string)
		if !strings.HasPrefix(text, "{{resolve:secretsmanager:${") {
			t.Errorf("%s is %v, want a reference to a secret", name, at(variables, name))
		}
	}
}

func TestSources(t *testing.T) {
	d := read(t)
	groups := consumerGroups(t)
	for topic, name := range map[string]string{events.TopicFeatures: "Features", events.TopicLabels: "Labels", events.TopicChampions: "Champions"} {
		p := d.ofType("AWS::Lambda::EventSourceMapping")[name]
		for _, want := range []struct {
			path  []string
			value string
		}{
			{[]string{"Topics"}, "[" + topic + "]"},
			{[]string{"StartingPosition"}, "TRIM_HORIZON"},
			{[]string{"FunctionResponseTypes"}, "[ReportBatchItemFailures]"},
			{[]string{"ProvisionedPollerConfig", "MinimumPollers"}, "1"}, // answers by record are to be had with it alone
			{[]string{"SelfManagedKafkaEventSourceConfig", "ConsumerGroupId"}, groups[topic]},
			{[]string{"DestinationConfig", "OnFailure", "Destination"}, "kafka://" + events.TopicDeadLetters},
		} {
			if got := fmt.Sprint(at(p, want.path...)); got != want.value {
				t.Errorf("%s: %v is %s, want %s", name, want.path, got, want.value)
			}
		}
	}
	learn := at(d.ofType("AWS::Serverless::Function")["Learn"], "Environment", "Variables", "MAX_BATCH")
	batch := at(d.ofType("AWS::Lambda::EventSourceMapping")["Labels"], "BatchSize")
	if fmt.Sprint(learn) != fmt.Sprint(batch) {
		t.Errorf("a batch has %v labels and a commit %v: a batch should be one commit", batch, learn)
	}
	if n := at(d.ofType("AWS::Lambda::EventSourceMapping")["Champions"], "BatchSize"); fmt.Sprint(n) != "1" {
		t.Errorf("%v proposals are decided at the same time", n)
	}
	if n := at(d.ofType("AWS::Serverless::Function")["Promote"], "ReservedConcurrentExecutions"); fmt.Sprint(n) != "1" {
		t.Errorf("%v of promote decide at the same time", n)
	}
	if n := at(d.ofType("AWS::Serverless::Function")["Learn"], "ReservedConcurrentExecutions"); n == nil {
		t.Error("any number of learners may contend for a version")
	}
}

// consumerGroups are those of the KafkaSources, by topic.
func consumerGroups(t *testing.T) map[string]string {
	t.Helper()
	text, err := fs.ReadFile(infra.Knative(), "40-kafkasources.yaml")
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]string{}
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var source struct {
			Spec struct {
				Topics        []string
				ConsumerGroup string `yaml:"consumerGroup"`
			}
		}
		if err := decoder.Decode(&source); err != nil {
			break
		}
		for _, topic := range source.Spec.Topics {
			groups[topic] = source.Spec.ConsumerGroup
		}
	}
	return groups
}

// unscoped are the actions for which IAM knows no resource but all.
var unscoped = []string{"ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"}

// checkPolicies holds every statement to name what it allows, and on what.
func checkPolicies(t *testing.T, value any) {
	t.Helper()
	statements := 0
	each(value, func(m map[string]any) {
		if m["Effect"] == nil || m["Principal"] != nil {
			return
		}
		statements++
		actions := strs(m["Action"])
		for _, action := range actions {
			if strings.Contains(action, "*") {
				t.Errorf("the action %s has a wildcard", action)
			}
			if !slices.Contains(append(unscoped, "secretsmanager:GetSecretValue", "kms:Decrypt"), action) {
				t.Errorf("the action %s is not one that is needed", action)
			}
		}
		resource, err := json.Marshal(m["Resource"])
		if err != nil || m["Resource"] == nil {
			t.Errorf("%v: resource %v, %v", actions, m["Resource"], err)
		}
		if bytes.ContainsRune(resource, '*') && !slices.Equal(actions, unscoped) {
			t.Errorf("%v are allowed on %s", actions, resource)
		}
	})
	if statements != 3 {
		t.Errorf("%d statements, want secrets, network, key", statements)
	}
}

func TestPolicies(t *testing.T) { checkPolicies(t, map[string]any(read(t))) }

func tools(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(envTools)
	if dir == "" {
		skip := t.Skipf
		if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
			skip = t.Fatalf
		}
		skip("NOT CHECKED BY AWS'S TOOLS: %s is not set; `task test:lambda` installs them and sets it", envTools)
	}
	return filepath.Join(dir, "bin")
}

func TestLint(t *testing.T) {
	if out, err := exec.Command(filepath.Join(tools(t), "cfn-lint"), "--non-zero-exit-code", "informational", "template.yaml").CombinedOutput(); err != nil {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}

// What SAM makes of the template allows no more than it says.
func TestTranslated(t *testing.T) {
	source, err := os.Open("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	command := exec.Command(filepath.Join(tools(t), "python"), filepath.Join("testdata", "translate.py"))
	command.Stdin = source
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("the translator: %v\n%s", err, &stderr)
	}
	var d template
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatal(err)
	}
	checkPolicies(t, map[string]any(d))
	const aws = "arn:aws:iam::aws:policy/service-role/"
	want := []string{aws + "AWSLambdaBasicExecutionRole", aws + "AWSLambdaVPCAccessExecutionRole", "map[Ref:ReadsKafka]"}
	roles := d.ofType("AWS::IAM::Role")
	for name, role := range roles {
		if got := strs(at(role, "ManagedPolicyArns")); !slices.Equal(got, want) {
			t.Errorf("%s may do what %v say, want %v", name, got, want)
		}
	}
	if len(roles) != 3 || len(d.ofType("AWS::Lambda::Function")) != 3 {
		t.Errorf("%d roles of %d functions, want 3 of each", len(roles), len(d.ofType("AWS::Lambda::Function")))
	}
}

// The Makefile builds what provided.al2023 on arm64 runs, as sam build has it do.
func TestBuilds(t *testing.T) {
	path, err := exec.LookPath("make")
	if err != nil {
		t.Skip("THE BUILD OF sam build IS NOT TESTED: there is no make on the PATH, which the package make brings")
	}
	makefile, err := filepath.Abs("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	functions := read(t)["Resources"].(map[string]any)
	for _, name := range []string{"Predict", "Learn"} {
		if at(functions[name], "Metadata", "BuildMethod") != "makefile" {
			t.Errorf("%s is not built by the Makefile", name)
		}
		dir := t.TempDir()
		command := exec.CommandContext(t.Context(), path, "--makefile", makefile, "build-"+name)
		command.Dir = fmt.Sprint(at(functions[name], "Metadata", "WorkingDirectory"))
		command.Env = append(os.Environ(), "ARTIFACTS_DIR="+dir)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		binary, err := elf.Open(filepath.Join(dir, "bootstrap"))
		if err != nil {
			t.Fatal(err)
		}
		if libraries, _ := binary.ImportedLibraries(); binary.Machine != elf.EM_AARCH64 || len(libraries) > 0 {
			t.Errorf("%s is for %v and needs %v, want a static one for arm64", name, binary.Machine, libraries)
		}
		binary.Close()
	}
}
