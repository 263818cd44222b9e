package knative

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"tripcast.dev/infra/knative/manifest"
)

// restricted is what Kubernetes' PodSecurity "restricted" refuses of a pod. The
// namespace enforces it, which only the controller that makes the pod is told:
// the object it is made for is taken, and nothing ever runs.
// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
func restricted(p pods) []manifest.Problem {
	var problems []manifest.Problem
	fail := func(field, reason string) { problems = append(problems, manifest.Problem{Field: field, Reason: reason}) }
	spec := p.spec
	pod := spec.SecurityContext
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	if spec.HostNetwork || spec.HostPID || spec.HostIPC {
		fail(p.at+".spec", "restricted pods share no namespace of the host")
	}
	for _, v := range spec.Volumes {
		s := v.VolumeSource
		if s.ConfigMap == nil && s.CSI == nil && s.DownwardAPI == nil && s.EmptyDir == nil && s.Ephemeral == nil &&
			s.PersistentVolumeClaim == nil && s.Projected == nil && s.Secret == nil {
			fail(p.at+".spec.volumes", "restricted pods have no volume such as "+v.Name)
		}
	}
	if len(pod.Sysctls) > 0 || pod.WindowsOptions != nil || pod.SELinuxOptions != nil {
		fail(p.at+".spec.securityContext", "restricted pods set no sysctls, windowsOptions or seLinuxOptions here")
	}
	if pod.RunAsUser != nil && *pod.RunAsUser == 0 {
		fail(p.at+".spec.securityContext.runAsUser", "restricted pods do not run as root")
	}
	for _, c := range p.containers() {
		for field, reason := range restrictedContainer(c.Container, pod) {
			fail(c.at+"."+field, reason)
		}
	}
	return problems
}

// restrictedContainer is what is wrong with a container, by the field.
func restrictedContainer(c *corev1.Container, pod *corev1.PodSecurityContext) map[string]string {
	wrong := map[string]string{}
	s := c.SecurityContext
	if s == nil {
		s = &corev1.SecurityContext{}
	}
	if isTrue(s.Privileged) {
		wrong["securityContext.privileged"] = "restricted containers are not privileged"
	}
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
		wrong["securityContext.allowPrivilegeEscalation"] = "restricted containers set it to false"
	}
	if s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
		wrong["securityContext.capabilities.drop"] = "restricted containers drop ALL"
	} else if slices.ContainsFunc(s.Capabilities.Add, func(a corev1.Capability) bool { return a != "NET_BIND_SERVICE" }) {
		wrong["securityContext.capabilities.add"] = "restricted containers add NET_BIND_SERVICE alone"
	}
	nonRoot := pod.RunAsNonRoot
	if s.RunAsNonRoot != nil {
		nonRoot = s.RunAsNonRoot
	}
	if !isTrue(nonRoot) {
		wrong["securityContext.runAsNonRoot"] = "restricted containers set it to true, or their pod does"
	}
	if s.RunAsUser != nil && *s.RunAsUser == 0 {
		wrong["securityContext.runAsUser"] = "restricted containers do not run as root"
	}
	seccomp := pod.SeccompProfile
	if s.SeccompProfile != nil {
		seccomp = s.SeccompProfile
	}
	if seccomp == nil || seccomp.Type != corev1.SeccompProfileTypeRuntimeDefault && seccomp.Type != corev1.SeccompProfileTypeLocalhost {
		wrong["securityContext.seccompProfile"] = "restricted containers have RuntimeDefault or Localhost, or their pod does"
	}
	if slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort != 0 }) {
		wrong["ports"] = "restricted containers take no port of the host"
	}
	return wrong
}
