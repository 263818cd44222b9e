package kafkatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// Certificates are what clients of the encrypted listeners need, as PEM.
type Certificates struct {
	CA                    string // signed the broker's and the client's certificate
	ClientCert, ClientKey string // what the listener SSL asks for
	OtherCA               string // signed nothing here

	server string // the broker's key and certificate
}

func newCertificates() (Certificates, error) {
	var c Certificates
	ca, err := newAuthority("tripcast test CA")
	if err != nil {
		return c, err
	}
	other, err := newAuthority("another CA")
	if err != nil {
		return c, err
	}
	c.CA, c.OtherCA = ca.certificate(), other.certificate()
	certificate, key, err := ca.issue("localhost", x509.ExtKeyUsageServerAuth)
	if err != nil {
		return c, err
	}
	c.server = key + certificate
	c.ClientCert, c.ClientKey, err = ca.issue(User, x509.ExtKeyUsageClientAuth)
	return c, err
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := valid(name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

func (a *authority) certificate() string { return encode("CERTIFICATE", a.cert.Raw) }

// issue makes a certificate and its key.
func (a *authority) issue(name string, usage x509.ExtKeyUsage) (certificate, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := valid(name)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	template.DNSNames, template.IPAddresses = []string{name}, []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		return "", "", err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8), nil
}

// valid is a certificate for as long as a test may take.
func valid(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
	}
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
