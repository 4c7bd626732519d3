# A server with simulated chips, or with boards: docker run --device /dev/ttyACM0 ... --ports auto
FROM python:3.11-slim-bookworm
# As deploy/federation.service has it: federation.toml lies there, and what set-up builds.
RUN useradd --create-home --home-dir /var/lib/federation --groups dialout federation
WORKDIR /opt/federation
COPY . .
RUN pip install --no-cache-dir .
USER federation
WORKDIR /var/lib/federation
RUN federation setup
EXPOSE 8080
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health')"]
ENTRYPOINT ["federation", "serve", "--host", "0.0.0.0"]
