"""The peer: a plain Django REST framework app over our own tables, with what its tutorial and manual have one use.

ModelSerializer, PageNumberPagination, TokenAuthentication, related rows by select_related and prefetch_related, kept
connections; gunicorn with one worker serves it. It answers with the fields that our list has.
"""

import os
from typing import ClassVar

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="none",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "rest_framework.authtoken",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["BENCH_HOST"],
            "NAME": os.environ["BENCH_DATABASE"],
            "USER": os.environ["BENCH_USER"],
            "CONN_MAX_AGE": None,
        }
    },
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.TokenAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
)
django.setup()

from django.contrib.postgres.fields import ArrayField  # noqa: E402 -- Django is set up first
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from django.urls import include, path  # noqa: E402
from rest_framework import pagination, routers, serializers, viewsets  # noqa: E402


class Plan(models.Model):
    name = models.TextField()
    vcpus = models.IntegerField()

    class Meta:
        app_label = "peer"
        db_table = "plan"
        managed = False


class System(models.Model):
    name = models.TextField()

    class Meta:
        app_label = "peer"
        db_table = "system"
        managed = False


class Location(models.Model):
    code = models.TextField()
    name = models.TextField()

    class Meta:
        app_label = "peer"
        db_table = "location"
        managed = False


class Server(models.Model):
    uuid = models.UUIDField()
    account_id = models.BigIntegerField()
    name = models.TextField()
    hostname = models.TextField()
    status = models.TextField()
    wanted = models.TextField()
    error = models.TextField(null=True)
    vcpus = models.IntegerField()
    memory_mib = models.IntegerField()
    storage_gb = models.IntegerField()
    tags = ArrayField(models.TextField())
    ready_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    plan = models.ForeignKey(Plan, models.PROTECT)
    system = models.ForeignKey(System, models.PROTECT)
    location = models.ForeignKey(Location, models.PROTECT)

    class Meta:
        app_label = "peer"
        db_table = "server"
        managed = False


class Address(models.Model):
    ip = models.GenericIPAddressField(primary_key=True)
    family = models.SmallIntegerField()
    server = models.ForeignKey(Server, models.PROTECT, related_name="addresses")

    class Meta:
        app_label = "peer"
        db_table = "address"
        managed = False


class PlanSerializer(serializers.ModelSerializer):
    memory = serializers.IntegerField(source="memory_mib")
    storage = serializers.IntegerField(source="storage_gb")
    id = serializers.IntegerField(source="plan.id")
    name = serializers.CharField(source="plan.name")

    class Meta:
        model = Server
        fields: ClassVar = ["id", "name", "vcpus", "memory", "storage"]


class SystemSerializer(serializers.ModelSerializer):
    class Meta:
        model = System
        fields: ClassVar = ["id", "name"]


class ServerSerializer(serializers.ModelSerializer):
    plan = PlanSerializer(source="*")
    os = SystemSerializer(source="system")
    os_name = serializers.CharField(source="system.name")
    plan_name = serializers.CharField(source="plan.name")
    location = serializers.CharField(source="location.code")
    location_name = serializers.CharField(source="location.name")
    ip_address = serializers.SerializerMethodField()
    ipv4_addresses = serializers.SerializerMethodField()
    ipv6_addresses = serializers.SerializerMethodField()
    deployed = serializers.SerializerMethodField()

    class Meta:
        model = Server
        fields: ClassVar = [
            *("id", "uuid", "name", "hostname", "status", "error", "ip_address", "ipv4_addresses", "ipv6_addresses"),
            *("location", "location_name", "plan", "plan_name", "os", "os_name", "deployed", "tags"),
            *("created_at", "updated_at"),
        ]

    def get_ip_address(self, server):
        return next(iter(self.get_ipv4_addresses(server)), None)

    def get_ipv4_addresses(self, server):
        return [one.ip for one in server.addresses.all() if one.family == 4]

    def get_ipv6_addresses(self, server):
        return [one.ip for one in server.addresses.all() if one.family == 6]

    def get_deployed(self, server):
        return server.ready_at is not None


class Pages(pagination.PageNumberPagination):
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100


class Servers(viewsets.ReadOnlyModelViewSet):
    serializer_class = ServerSerializer
    pagination_class = Pages
    queryset = (
        Server.objects.filter(account_id=os.environ["BENCH_ACCOUNT"])
        .exclude(wanted="absent")
        .select_related("plan", "system", "location")
        .prefetch_related("addresses")
        .order_by("-id")
    )


router = routers.DefaultRouter()
router.register("servers", Servers)
urlpatterns = [path("", include(router.urls))]
application = get_wsgi_application()
