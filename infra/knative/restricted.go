package knative

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"tripcast.dev/infra/knative/manifest"
)

// restricted is what Kubernetes' PodSecurity "restricted" refuses of a pod. The
// namespace enforces it, which only the controller that makes the pod is told:
// the object it is made for is taken, and nothing ever runs.
// Sysctls, of which we set none, are left to it.
// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
func restricted(p pods) []manifest.Problem {
	var problems []manifest.Problem
	for _, rule := range podRules {
		if rule.broken(p.spec, podContext(p.spec)) {
			problems = append(problems, manifest.Problem{Field: p.at + "." + rule.field, Reason: rule.reason})
		}
	}
	for _, c := range p.containers() {
		s := c.SecurityContext
		if s == nil {
			s = &corev1.SecurityContext{}
		}
		for _, rule := range containerRules {
			if rule.broken(c.Container, s, podContext(p.spec)) {
				problems = append(problems, manifest.Problem{Field: c.at + "." + rule.field, Reason: rule.reason})
			}
		}
	}
	return problems
}

func podContext(spec *corev1.PodSpec) *corev1.PodSecurityContext {
	if spec.SecurityContext == nil {
		return &corev1.PodSecurityContext{}
	}
	return spec.SecurityContext
}

var podRules = []struct {
	field  string
	reason string
	broken func(*corev1.PodSpec, *corev1.PodSecurityContext) bool
}{
	{
		"spec", "restricted pods share no namespace of the host",
		func(s *corev1.PodSpec, _ *corev1.PodSecurityContext) bool {
			return s.HostNetwork || s.HostPID || s.HostIPC
		},
	},
	{
		"spec.volumes", "restricted pods have no volumes but configMap, csi, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected, secret",
		func(s *corev1.PodSpec, _ *corev1.PodSecurityContext) bool {
			return slices.ContainsFunc(s.Volumes, func(v corev1.Volume) bool {
				return v.ConfigMap == nil && v.CSI == nil && v.DownwardAPI == nil && v.EmptyDir == nil && v.Ephemeral == nil &&
					v.PersistentVolumeClaim == nil && v.Projected == nil && v.Secret == nil
			})
		},
	},
	{
		"spec.securityContext", "restricted pods set no other SELinux type, user or role, no unconfined AppArmor profile and no hostProcess",
		func(_ *corev1.PodSpec, s *corev1.PodSecurityContext) bool {
			return outside(s.SELinuxOptions, s.AppArmorProfile, s.WindowsOptions)
		},
	},
	{
		"spec.securityContext.runAsUser", "restricted pods do not run as root",
		func(_ *corev1.PodSpec, s *corev1.PodSecurityContext) bool {
			return s.RunAsUser != nil && *s.RunAsUser == 0
		},
	},
}

var containerRules = []struct {
	field  string
	reason string
	broken func(*corev1.Container, *corev1.SecurityContext, *corev1.PodSecurityContext) bool
}{
	{
		"securityContext.privileged", "restricted containers are not privileged",
		func(_ *corev1.Container, s *corev1.SecurityContext, _ *corev1.PodSecurityContext) bool {
			return isTrue(s.Privileged)
		},
	},
	{
		"securityContext.allowPrivilegeEscalation", "restricted containers set it to false",
		func(_ *corev1.Container, s *corev1.SecurityContext, _ *corev1.PodSecurityContext) bool {
			return s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation
		},
	},
	{
		"securityContext.capabilities", "restricted containers drop ALL and add nothing but NET_BIND_SERVICE",
		func(_ *corev1.Container, s *corev1.SecurityContext, _ *corev1.PodSecurityContext) bool {
			return s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") ||
				slices.ContainsFunc(s.Capabilities.Add, func(a corev1.Capability) bool { return a != "NET_BIND_SERVICE" })
		},
	},
	{
		"securityContext.runAsNonRoot", "restricted containers set it to true, or their pod does",
		func(_ *corev1.Container, s *corev1.SecurityContext, pod *corev1.PodSecurityContext) bool {
			if s.RunAsNonRoot != nil {
				return !*s.RunAsNonRoot
			}
			return !isTrue(pod.RunAsNonRoot)
		},
	},
	{
		"securityContext.runAsUser", "restricted containers do not run as root",
		func(_ *corev1.Container, s *corev1.SecurityContext, _ *corev1.PodSecurityContext) bool {
			return s.RunAsUser != nil && *s.RunAsUser == 0
		},
	},
	{
		"securityContext.seccompProfile", "restricted containers have RuntimeDefault or Localhost, or their pod does",
		func(_ *corev1.Container, s *corev1.SecurityContext, pod *corev1.PodSecurityContext) bool {
			profile := pod.SeccompProfile
			if s.SeccompProfile != nil {
				profile = s.SeccompProfile
			}
			return profile == nil || profile.Type == corev1.SeccompProfileTypeUnconfined
		},
	},
	{
		"securityContext", "restricted containers set no other SELinux type, user or role, no unconfined AppArmor profile, no hostProcess and no procMount",
		func(_ *corev1.Container, s *corev1.SecurityContext, _ *corev1.PodSecurityContext) bool {
			return outside(s.SELinuxOptions, s.AppArmorProfile, s.WindowsOptions) ||
				s.ProcMount != nil && *s.ProcMount != corev1.DefaultProcMount
		},
	},
	{
		"ports", "restricted containers take no port of the host",
		func(c *corev1.Container, _ *corev1.SecurityContext, _ *corev1.PodSecurityContext) bool {
			return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort != 0 })
		},
	},
}

// outside tells whether a pod or a container would step out of its confinement.
func outside(linux *corev1.SELinuxOptions, armor *corev1.AppArmorProfile, windows *corev1.WindowsSecurityContextOptions) bool {
	types := []string{"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
	return linux != nil && (linux.User != "" || linux.Role != "" || !slices.Contains(types, linux.Type)) ||
		armor != nil && armor.Type == corev1.AppArmorProfileTypeUnconfined ||
		windows != nil && isTrue(windows.HostProcess)
}
