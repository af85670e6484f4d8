"""A certificate authority of one's own, for servers that no public authority would certify."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 3_650
CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """PEM texts: what the server keeps (key, then certificate), and what its clients trust."""

    server: str
    authority: str


def issue(host: str, now: datetime) -> ServerCertificate:
    """Return a certificate for `host`, signed by an authority whose key is then forgotten.

    `host` is a name or an address. Nobody can issue a second certificate that its clients trust;
    renewing means issuing both again.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name(f"Fengping authority for {host}")
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, SHA256())
    )
    server = (
        _builder(_name(host), authority_name, server_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_alternative_names(host)), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, SHA256())
    )
    key = server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ServerCertificate(_text(key) + _pem(server), _pem(authority))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative_names(host: str) -> list[x509.GeneralName]:
    try:
        return [x509.IPAddress(ip_address(host))]
    except ValueError:
        return [x509.DNSName(host)]


def _pem(certificate: x509.Certificate) -> str:
    return _text(certificate.public_bytes(Encoding.PEM))


def _text(pem: bytes) -> str:
    return pem.decode("ascii")
